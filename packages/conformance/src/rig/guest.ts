// The program that runs on the machine itself: replays recordings on the kernel below, or records cases there, and
// leaves what came of it as files. It needs nothing but Node and this workspace's built packages.
//
//   node --single-threaded dist/rig/guest.js replay --out DIR [--only REGEXP] RECORDING...
//
// Invariants: a report is written for every recording, also when cases fail; the exit status is 0 unless the program
// itself could not go on, since judging a report is the caller's.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { realMachine } from "../machines/real.ts";
import { loadRecording } from "../recording.ts";
import { replayRecording } from "../replay.ts";

const {
  values: { out = ".", only = "" },
  positionals: [command, ...files],
} = parseArgs({ allowPositionals: true, options: { out: { type: "string" }, only: { type: "string" } } });

mkdirSync(out, { recursive: true });
const machine = realMachine();
const wanted = new RegExp(only);

function replay(file: string): void {
  const recording = loadRecording(file);
  const started = performance.now();
  let last = started;
  const report = replayRecording(recording, machine, {
    only: (name) => wanted.test(name),
    onCase({ name, steps, differences, skipped }) {
      const now = performance.now();
      const what = skipped ? `skipped: ${skipped}` : differences.length > 0 ? `${differences.length} differences` : "";
      if (!skipped) console.log(`${name}: ${steps} steps, ${Math.round(now - last)} ms ${what}`);
      last = now;
    },
  });
  const seconds = (performance.now() - started) / 1000;
  writeFileSync(join(out, `${recording.name}.report.json`), JSON.stringify({ ...report, seconds }));
}

switch (command) {
  case "replay":
    for (const file of files) replay(file);
    break;
  default:
    console.error(`unknown command "${command ?? ""}": replay`);
    process.exitCode = 2;
}
