// A level-1 machine of the rig, and what is run in it one thing after another. The workspace is shared read-only at its
// own path, so its packages must be built. Lines are stamped as they arrive here, so all times are of this machine.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { RIG } from "./kernel.ts";

export const WORKSPACE = fileURLToPath(new URL("../../../../", import.meta.url));
export const MINIVMM = `node ${quoted(join(WORKSPACE, "apps/cli/dist/main.js"))}`;
const DEVICES = fileURLToPath(new URL("devices.args", import.meta.url));

export interface Step {
  readonly name: string;
  /** For the level-1 machine's shell. */
  readonly command: string;
  readonly seconds: number;
}

export interface Line {
  /** Seconds since the step began. */
  readonly at: number;
  readonly text: string;
}

export interface Done {
  readonly name: string;
  /** What the shell says; 137 when the time was up. Null: the machine ended before the step did. */
  readonly status: number | null;
  readonly seconds: number;
  readonly lines: readonly Line[];
}

export interface Machine {
  readonly kernel: string;
  /** Options of rig.sh. */
  readonly options: readonly string[];
  /** Carried out before the first step; a failure ends the machine. */
  readonly prepare: string;
}

/** A kernel gives up while it boots when the emulator is too slow for its check of the timer; others of its bugs end it later. */
const ATTEMPTS = 3;
/** Begins lines that are not the guest's. */
const MARK = "@level-1@ ";

/** Runs every step; those that a dying machine left undone run in the next one. Throws if nothing helps. */
export async function runSteps(machine: Machine, steps: readonly Step[], ended: (done: Done) => void): Promise<Done[]> {
  const done: Done[] = [];
  for (let attempt = 1; ; attempt++) {
    const rest = steps.filter(({ name }) => !done.some((each) => each.name === name));
    const before = done.length;
    const { status, errors } = await boot(machine, rest, (each) => {
      done.push(each);
      ended(each);
    });
    if (done.length === steps.length) return done;
    if (done.length === before && attempt >= ATTEMPTS) {
      throw new Error(`the machine with Linux ${machine.kernel} ended with ${status} before its next step:\n${errors}`);
    }
  }
}

/** One machine. A step during which it ends is reported with status null. */
function boot(machine: Machine, steps: readonly Step[], ended: (done: Done) => void) {
  const script = steps.map(
    ({ name, command, seconds }) =>
      `printf '${MARK}begin %s\\n' ${quoted(name)}
timeout -s KILL ${seconds} sh -c ${quoted(command)} </dev/null 2>&1
printf '\\n${MARK}end %s\\n' $?`,
  );
  const seconds = steps.reduce((sum, each) => sum + each.seconds, 120);
  const args = ["--kernel", machine.kernel, "--topology", DEVICES, ...machine.options, "--share", WORKSPACE];
  const command = `set -e\n${machine.prepare}\nset +e\n${script.join("\n")}`;
  return new Promise<{ status: number | null; errors: string }>((resolve, reject) => {
    const child = spawn(join(RIG, "rig.sh"), [...args, "--timeout", String(seconds), "--", command]);
    let errors = "";
    let current: { name: string; from: number; lines: Line[] } | null = null;
    const finish = (status: number | null): void => {
      if (current === null) return;
      const { name, from, lines } = current;
      current = null;
      ended({ name, status, seconds: (performance.now() - from) / 1000, lines });
    };
    createInterface(child.stdout).on("line", (text) => {
      const [, what, rest = ""] = /^@level-1@ (begin|end) (.*)$/.exec(text) ?? [];
      if (what === "begin") current = { name: rest, from: performance.now(), lines: [] };
      else if (what === "end") finish(Number(rest));
      else current?.lines.push({ at: (performance.now() - current.from) / 1000, text });
    });
    child.stderr.on("data", (text: Buffer) => {
      errors = `${errors}${text}`.slice(-4000);
    });
    child.on("error", reject);
    child.on("close", (status) => {
      finish(null);
      resolve({ status, errors });
    });
  });
}

/** A word for a shell. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
