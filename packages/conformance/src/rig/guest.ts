// The program that runs on the machine itself: replays recordings on the kernel below, or records cases there, and
// leaves what came of it as files. It needs nothing but Node and this workspace's built packages.
//
//   node --single-threaded dist/rig/guest.js replay --out DIR [--only REGEXP] RECORDING...
//   node --single-threaded dist/rig/guest.js record --out DIR [--only REGEXP] [--once] CASES...
//   node --single-threaded dist/rig/guest.js more --out DIR [--only REGEXP] [--parts NAME,...] [--once] RECORDING
//
// `more` records cases that it makes from those of a recording. What was recorded is replayed at once, and cases that then
// answer differently are named in the report: they do not belong into a recording. --once leaves that out.
// Invariants: a report is written for every file, also when cases fail; the exit status is 0 unless the program itself
// could not go on, since judging a report is the caller's.

import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { realMachine } from "../machines/real.ts";
import { parseCases, recordCases } from "../record.ts";
import { loadRecording, parseRecording, type Recording } from "../recording.ts";
import { type ReplayOptions, replayRecording } from "../replay.ts";
import type { X86Case } from "../x86/format.ts";
import { moreCases } from "./more/index.ts";

const {
  values: { out = ".", only = "", parts, once = false },
  positionals: [command, ...files],
} = parseArgs({
  allowPositionals: true,
  options: { out: { type: "string" }, only: { type: "string" }, parts: { type: "string" }, once: { type: "boolean" } },
});

const CHUNK = 20;

mkdirSync(out, { recursive: true });
const machine = realMachine();
const wanted = (name: string): boolean => new RegExp(only).test(name);

/** Says how far it is, with the time since the last word. */
function progress(): (text: string) => void {
  let last = performance.now();
  return (text) => {
    const now = performance.now();
    console.log(`${text}, ${Math.round(now - last)} ms`);
    last = now;
  };
}

function replay(recording: Recording, name = recording.name): void {
  const started = performance.now();
  const say = progress();
  const options: ReplayOptions = {
    only: wanted,
    onCase({ name, steps, differences, skipped }) {
      if (skipped === undefined) say(`${name}: ${steps} steps, ${differences.length} differences`);
    },
  };
  const report = replayRecording(recording, machine, options);
  const seconds = (performance.now() - started) / 1000;
  writeFileSync(join(out, `${name}.report.json`), JSON.stringify({ ...report, seconds }));
}

/** In chunks, so that a machine that is stopped leaves what it had recorded. */
function record(name: string, cases: readonly X86Case[]): void {
  const say = progress();
  const chosen = cases.filter((each) => wanted(each.name));
  const file = join(out, `${name}.jsonl`);
  const refused: { name: string; reason: string }[] = [];
  writeFileSync(file, "");
  for (let at = 0; at < chosen.length; at += CHUNK) {
    const chunk = recordCases(chosen.slice(at, at + CHUNK), machine, (each) => say(`recording ${each}`));
    appendFileSync(file, chunk.text);
    refused.push(...chunk.refused);
  }
  writeFileSync(join(out, `${name}.refused.json`), JSON.stringify(refused));
  const text = readFileSync(file, "utf8");
  if (text !== "" && !once) replay(parseRecording(name, text));
}

const stem = (file: string): string => basename(file).replace(/\.jsonl(\.gz)?$/, "");

function more(file: string): void {
  const cases = loadRecording(file).cases.filter((each) => each.format === "x86");
  for (const [part, made] of moreCases(cases)) {
    if (parts === undefined || parts.split(",").includes(part)) record(`${stem(file)}-${part}`, made);
  }
}

switch (command) {
  case "replay":
    for (const file of files) replay(loadRecording(file));
    break;
  case "record":
    for (const file of files) record(stem(file), parseCases(basename(file), readFileSync(file, "utf8")));
    break;
  case "more":
    for (const file of files) more(file);
    break;
  default:
    console.error(`unknown command "${command ?? ""}": replay, record, more`);
    process.exitCode = 2;
}
