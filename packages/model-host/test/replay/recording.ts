// Recordings of real kernels: one JSON object a line (case, step, call, args, ret, errno, out), gzipped.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

export interface Step {
  readonly case: string;
  readonly step: number;
  readonly call: string;
  readonly args: Readonly<Record<string, string | number>>;
  /** -1 with `errno`, or the call's result. */
  readonly ret: number;
  readonly errno: number;
  readonly out: Readonly<Record<string, string | number>>;
}

export interface Recording {
  readonly file: string;
  readonly pageSize: number;
  /** IOMMU group of each numbered device. */
  readonly groups: readonly number[];
  /** Steps by case; those of a second process (`name#child`) lie among their case's. */
  readonly cases: ReadonlyMap<string, readonly Step[]>;
}

export function loadRecording(file: string): Recording {
  const text = gunzipSync(readFileSync(new URL(`../recordings/${file}.jsonl.gz`, import.meta.url))).toString("utf8");
  const rows = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Step & { page_size: number; groups: number[] });
  const header = rows.find((row) => row.case === "#header");
  if (!header) throw new Error(`${file} has no header`);
  const cases = new Map<string, Step[]>();
  for (const row of rows) {
    if (row.call === undefined) continue;
    const name = row.case.split("#")[0] as string;
    const steps = cases.get(name) ?? [];
    steps.push(row);
    cases.set(name, steps);
  }
  return { file, pageSize: header.page_size, groups: header.groups, cases };
}

/** "0x10" or 16 as bigint. */
export function big(value: string | number | undefined): bigint {
  return BigInt.asUintN(64, BigInt(value ?? 0));
}
