// Records what every user-mode integer instruction does, by running it on qemu-user's POWER9:
//   test/recordings/instructions.json    the cases (mnemonic, words, table) and the input states
//   test/recordings/instructions.bin.gz  output states, each doubleword xored with its input (mostly zero: small)
// Needs qemu-ppc64le. Run: npx tsx tools/record-instructions.ts

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildElf, PF_R, PF_W, PF_X } from "../src/asm/index.ts";
import { instructionCases } from "./instruction-cases.ts";
import { buildProgram, ORIGIN } from "./instruction-program.ts";
import { stateTables } from "./instruction-states.ts";
import { Random } from "./random.ts";
import { differences } from "./recording.ts";

const random = new Random(3);
const tables = stateTables(random);
const cases = instructionCases(random);
const program = buildProgram(cases, tables);
const memorySize = program.output + program.outputBytes - ORIGIN;
const elf = buildElf({
  entry: program.entry,
  segments: [{ address: ORIGIN, bytes: program.bytes, memorySize, flags: PF_R | PF_W | PF_X }],
});

const directory = mkdtempSync(join(tmpdir(), "instructions-"));
const path = join(directory, "program");
writeFileSync(path, elf, { mode: 0o755 });
const run = spawnSync("qemu-ppc64le", ["-cpu", "power9", path], { maxBuffer: 1 << 28 });
rmSync(directory, { recursive: true });
if (run.status !== 0 || run.stdout.length !== program.outputBytes) {
  throw new Error(
    `qemu-ppc64le: status ${run.status}, ${run.stdout.length} of ${program.outputBytes} bytes. ${run.stderr}`,
  );
}

const recordings = new URL("../test/recordings/", import.meta.url);
const hex = (values: readonly bigint[]) => values.map((v) => v.toString(16));
const lines = cases.map((c) => JSON.stringify([c.name, c.table, c.words, ...(c.branch ? [c.branch] : [])]));
const states = Object.entries(tables).map(([name, rows]) => `${JSON.stringify(name)}:${JSON.stringify(rows.map(hex))}`);
writeFileSync(
  new URL("instructions.json", recordings),
  `{"tables":{\n${states.join(",\n")}\n},\n"cases":[\n${lines.join(",\n")}\n]}\n`,
);
const packed = gzipSync(differences(new Uint8Array(run.stdout), cases, tables, program.offsets), { level: 9 });
writeFileSync(new URL("instructions.bin.gz", recordings), packed);
console.log(
  `${cases.length} cases of ${program.groups.size} mnemonics, ${run.stdout.length} bytes, packed ${packed.length}`,
);
