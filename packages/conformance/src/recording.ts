// Recordings: files of one JSON object a line, gzipped or not, that say what a kernel answered, step by step.
// Two forms exist; the first line tells which. Reading a file checks its shape, so that a cut or foreign file is refused
// with its line number instead of failing in the middle of a replay.
// Invariants: cases keep the order of the file; nothing of a case is interpreted here.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { ConformanceError } from "./error.ts";
import { linesOf, wrongLine } from "./lines.ts";
import { type PpcCase, parsePpc } from "./ppc/format.ts";
import { parseX86, type X86Case } from "./x86/format.ts";

/** A case and the machine it was recorded on. */
export type RecordedCase = X86Case | PpcCase;

export interface Recording {
  /** File name without its folder. */
  readonly name: string;
  readonly cases: readonly RecordedCase[];
}

/** Reads a recording. Throws ConformanceError RECORDING_UNREADABLE or RECORDING_FORMAT. */
export function loadRecording(file: string | URL): Recording {
  const path = typeof file === "string" ? file : fileURLToPath(file);
  let content: Uint8Array;
  try {
    content = readFileSync(path);
  } catch (cause) {
    throw new ConformanceError(`the recording ${path} cannot be read`, {
      code: "RECORDING_UNREADABLE",
      details: { file: path },
      hint: "Give the path of a .jsonl or .jsonl.gz file.",
      cause,
    });
  }
  return parseRecording(basename(path), unpacked(path, content));
}

/** Paths of the recordings that come with this package. */
export function shippedRecordings(): string[] {
  const folder = fileURLToPath(new URL("../recordings", import.meta.url));
  const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl.gz"));
  return files.sort().map((name) => join(folder, name));
}

/** A recording from its text. Throws ConformanceError RECORDING_FORMAT naming the line. */
export function parseRecording(name: string, text: string): Recording {
  const lines = linesOf(name, text);
  const first = lines[0];
  if (!first) throw wrongLine(name, 1, "the file is empty");
  if ("meta" in first.value) return { name, cases: parseX86(name, lines) };
  if (first.value.case === "#header") return { name, cases: parsePpc(name, lines) };
  throw wrongLine(name, first.number, 'it has neither "meta" nor the case "#header"');
}

function unpacked(path: string, content: Uint8Array): string {
  const gzipped = content[0] === 0x1f && content[1] === 0x8b;
  try {
    return new TextDecoder().decode(gzipped ? gunzipSync(content) : content);
  } catch (cause) {
    throw new ConformanceError(`the recording ${path} is damaged: its compressed data does not unpack`, {
      code: "RECORDING_FORMAT",
      details: { file: path },
      hint: "Fetch the file again.",
      cause,
    });
  }
}
