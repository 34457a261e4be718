// What `minivmm bench` is asked to measure, and how thoroughly.
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import { suggestion } from "./suggest.ts";

/** What a guest's mappings for DMA cost. */
export interface TceBenchRequest {
  readonly subject: "tce";
  /** Pages a hypercall maps: powers of two from 1 to 512, each once, ascending. */
  readonly pages: readonly number[];
  readonly rounds: number;
  /** Pages mapped, filled and unmapped in each part of a round. */
  readonly mapped: number;
  readonly json: boolean;
}

/** What the attributes of a guest's pages cost. */
export interface AttrsBenchRequest {
  readonly subject: "attrs";
  readonly rounds: number;
  /** Pages of 4 KiB that each part of a round writes. */
  readonly drawn: number;
  readonly json: boolean;
}

export type BenchRequest = TceBenchRequest | AttrsBenchRequest;

const BENCH_SUBJECTS = ["tce", "attrs"] as const;
const DEFAULT_PAGES = [1, 32, 512];
const DEFAULT_ROUNDS = 7;
const DEFAULT_MAPPED = 150_000;
const DEFAULT_DRAWN = 2048;

/** `subject` is the word behind `bench`. Throws CliError USAGE_OPTION. */
export function parseBench(given: Given, subject: string | undefined): BenchRequest {
  const fallback = "write minivmm bench tce or minivmm bench attrs";
  if (subject === undefined) throw usageError("bench: nothing to measure is given", fallback);
  if (!(BENCH_SUBJECTS as readonly string[]).includes(subject)) {
    throw usageError(`bench: unknown subject "${subject}"`, suggestion(subject, BENCH_SUBJECTS, fallback));
  }
  const rounds = count("rounds", given.last("rounds"), DEFAULT_ROUNDS, 999);
  const json = given.flag("json");
  const pages = given.last("pages");
  if (subject === "attrs") {
    if (pages !== undefined) throw usageError("-pages: bench attrs maps nothing", "leave it out");
    return { subject, rounds, drawn: count("amount", given.last("amount"), DEFAULT_DRAWN, 1_000_000), json };
  }
  return {
    subject: "tce",
    pages: parsePages(pages),
    rounds,
    mapped: count("amount", given.last("amount"), DEFAULT_MAPPED, 100_000_000),
    json,
  };
}

function parsePages(text: string | undefined): readonly number[] {
  if (text === undefined) return DEFAULT_PAGES;
  const pages = text.split(",").map((word) => (/^\d{1,3}$/.test(word) ? Number(word) : Number.NaN));
  if (pages.some((each) => !(each >= 1 && each <= 512 && Number.isInteger(Math.log2(each))))) {
    throw usageError(
      `-pages ${text}: that is not a list of page counts`,
      "powers of two from 1 to 512, such as 1,32,512",
    );
  }
  return [...new Set(pages)].sort((a, b) => a - b);
}

function count(option: string, text: string | undefined, fallback: number, most: number): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= most) return value;
  throw usageError(`-${option} ${text}: that is not a count`, `a number from 1 to ${most}`);
}
