// Lines of a recording: one JSON object each, numbered for messages.

import { ConformanceError } from "./error.ts";

export type Json = Readonly<Record<string, unknown>>;

/** One parsed line. */
export interface Line {
  /** Counts from 1. */
  readonly number: number;
  readonly value: Json;
}

/** Splits and parses; empty lines are left out. Throws ConformanceError RECORDING_FORMAT. */
export function linesOf(name: string, text: string): Line[] {
  const lines: Line[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(exact(line));
    } catch {
      throw wrongLine(name, index + 1, "not JSON");
    }
    if (!isObject(value)) throw wrongLine(name, index + 1, "not an object");
    lines.push({ number: index + 1, value });
  }
  return lines;
}

export function isObject(value: unknown): value is Json {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** What is wrong with a line, as an error. */
export function wrongLine(name: string, line: number, what: string): ConformanceError {
  return new ConformanceError(`${name} line ${line} is no line of a recording: ${what}`, {
    code: "RECORDING_FORMAT",
    details: { file: name, line },
    hint: "Recordings hold one JSON object a line and begin with their machine; see the README of @minivmm/conformance.",
  });
}

/** A string, or an integer that a double may not hold. */
const STRING_OR_LONG = /"(?:[^"\\]|\\.)*"|(?<![\d.eE+-])\d{16,}(?![\d.eE])/g;

/** The line with such integers as the text that recordings use for them. */
function exact(line: string): string {
  return line.replace(STRING_OR_LONG, (found) => (found.startsWith('"') ? found : `"0x${BigInt(found).toString(16)}"`));
}
