// How long a guest waits: from the start of the process to the first guest instruction on machine pc, against Node's own
// start. `node -e 0` and `minivmm run` in turn, built code, a guest that says a word and powers off; medians over all rounds.
// The moment of the first instruction is the run's own (its summary), the other times are a clock's around the process.
// Run: npx tsx --conditions=source bench/start.ts [rounds]
import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PcSummary } from "@minivmm/vmm";
import { PcProgram } from "@minivmm/vmm/guests/pc";
import { startMs } from "../src/pc/start-time.ts";
import { duration } from "../src/render/numbers.ts";

const ROUNDS = 15;
/** What is promised, in milliseconds beyond Node's own start. */
const GOAL_MS = 250;
const COMMAND = fileURLToPath(new URL("../dist/main.js", import.meta.url));

function whyNot(): string | undefined {
  if (process.arch !== "x64") return `the guest is x86 code, and this machine is ${process.arch}`;
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch (error) {
    return `/dev/kvm cannot be opened (${(error as NodeJS.ErrnoException).code})`;
  }
  return undefined;
}

/** Milliseconds of a whole process. Throws when it fails. */
function timed(...words: string[]): number {
  const begin = performance.now();
  const { status, stderr } = spawnSync(process.execPath, words, { stdio: ["ignore", "ignore", "pipe"] });
  const ms = performance.now() - begin;
  if (status !== 0) throw new Error(`node ${words.join(" ")} ended with status ${status}: ${stderr}`);
  return ms;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] as number;
}

function measure(folder: string, rounds: number): void {
  const guest = new PcProgram();
  guest.print("up\n");
  guest.powerOff();
  const [kernel, summary] = [join(folder, "guest"), join(folder, "summary.json")];
  writeFileSync(kernel, guest.elf());
  const run = ["run", "-M", "pc", "-m", "32", "-nographic", "-kernel", kernel, "-summary", summary];
  const node: number[] = [];
  const whole: number[] = [];
  const entered: number[] = [];
  const beyond: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const alone = timed("-e", "0");
    node.push(alone);
    whole.push(timed(COMMAND, ...run));
    const { timeline } = JSON.parse(readFileSync(summary, "utf8")) as PcSummary;
    const first = timeline.find(({ name }) => name === "guest entered")?.ms ?? Number.NaN;
    entered.push(startMs(timeline) ?? Number.NaN);
    beyond.push(first - alone);
  }
  const lines: [string, number][] = [
    ["node -e 0, whole process", median(node)],
    ["minivmm run -M pc, whole process", median(whole)],
    ["first guest instruction, after Node was up", median(entered)],
    ["first guest instruction, beyond node -e 0 of the same round", median(beyond)],
  ];
  console.log(`start of a guest, medians of ${rounds} rounds`);
  for (const [what, ms] of lines) console.log(`  ${what.padEnd(60)}${duration(ms).padStart(9)}`);
  console.log(`  goal: at most ${GOAL_MS} ms beyond Node's own start`);
}

const reason = whyNot();
if (reason !== undefined) console.log(`start of a guest: not measured: ${reason}`);
else {
  const folder = mkdtempSync(join(tmpdir(), "minivmm-bench-"));
  try {
    measure(folder, Number(process.argv[2] ?? ROUNDS));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
