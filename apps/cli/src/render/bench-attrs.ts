// The page attribute benchmark for people: a table for each size of frame, the two mappings side by side.
import type { FrameResult, MappingResult } from "../bench/attrs.ts";
import { columns } from "./columns.ts";
import { grouped } from "./numbers.ts";
import type { Style } from "./style.ts";

const TITLES = {
  guarded: "guarded (uncached): each store by itself",
  tolerant: "tolerant I/O (write-combining): up to 64 bytes together",
} as const;
const right = (title: string) => ({ title, align: "right" as const });

/** Text with a final newline. */
export function renderBenchAttrs(results: readonly FrameResult[], style: Style): string {
  const lines: string[] = [];
  for (const { bytes, guarded, tolerant, fewer, faster } of results) {
    const row = (title: string, each: MappingResult, less: number, speed: number): string[] => [
      title,
      grouped(each.transactionsPerFrame),
      `1/${less.toFixed(2)}`,
      each.megabytesPerSecond.toFixed(1),
      `${speed.toFixed(2)} x`,
    ];
    const shape = [{ title: "" }, right("writes a frame"), right("of guarded"), right("MB/s"), right("speed-up")];
    const rows = [row(TITLES.guarded, guarded, 1, 1), row(TITLES.tolerant, tolerant, fewer, faster)];
    lines.push(style.bold(`Frames of ${bytes / 1024} KiB`), ...columns(shape, rows, "  "), "");
  }
  return `${lines.slice(0, -1).join("\n")}\n`;
}
