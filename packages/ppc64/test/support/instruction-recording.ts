// Reads the recorded instruction cases: inputs from JSON, outputs unpacked from their differences.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import {
  type BranchKind,
  buildProgram,
  type InstructionCase,
  type InstructionProgram,
  type StateTables,
} from "../../tools/instruction-program.ts";
import { differences } from "../../tools/recording.ts";

export interface InstructionRecording {
  readonly cases: readonly InstructionCase[];
  readonly tables: StateTables;
  /** The program that was recorded, rebuilt from the recording itself. */
  readonly program: InstructionProgram;
  /** What the reference wrote, laid out by program.offsets. */
  readonly outputs: Uint8Array;
}

interface RecordingFile {
  tables: Record<string, string[][]>;
  cases: [name: string, table: string, words: number[], branch?: BranchKind][];
}

export function readInstructionRecording(): InstructionRecording {
  const file = (name: string): Buffer => readFileSync(new URL(`../recordings/${name}`, import.meta.url));
  const recorded = JSON.parse(file("instructions.json").toString("utf8")) as RecordingFile;
  const tables = Object.fromEntries(
    Object.entries(recorded.tables).map(([name, rows]) => [name, rows.map((row) => row.map((v) => BigInt(`0x${v}`)))]),
  );
  const cases = recorded.cases.map(([name, table, words, branch]) => ({
    name,
    table,
    words,
    ...(branch === undefined ? {} : { branch }),
  }));
  const program = buildProgram(cases, tables);
  const outputs = differences(gunzipSync(file("instructions.bin.gz")), cases, tables, program.offsets);
  return { cases, tables, program, outputs };
}
