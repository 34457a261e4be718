// The RAM half of the page attribute benchmark for people: snooped and unsnooped DMA side by side, and what the checker said.
import type { CheckedDma, DmaResult, DmaWayResult } from "../bench/attrs-dma.ts";
import { coherencyLine } from "./coherency.ts";
import { columns } from "./columns.ts";
import { grouped } from "./numbers.ts";
import type { Style } from "./style.ts";

const right = (title: string) => ({ title, align: "right" as const });

/** Text with a final newline. */
export function renderBenchDma({ bytes, snooped, unsnooped, slower, checked }: DmaResult, style: Style): string {
  const row = (title: string, each: DmaWayResult, time: number): string[] => [
    title,
    grouped(each.flushesPerTransfer),
    grouped(each.transfersPerSecond),
    each.megabytesPerSecond.toFixed(1),
    `${time.toFixed(2)} x`,
  ];
  const shape = [{ title: "" }, right("flushes a round"), right("rounds/s"), right("MB/s"), right("time")];
  const rows = [
    row("snooped: stores, doorbell", snooped, 1),
    row("unsnooped: stores, dcbf of each block, doorbell", unsnooped, slower),
  ];
  return [
    style.bold(`RAM that a device reads by DMA, ${bytes / 1024} KiB a round`),
    ...columns(shape, rows, "  "),
    "  the software CPU has no caches: what differs is the cost of the flushes",
    ...checked.map(checkedLine),
    "",
  ].join("\n");
}

function checkedLine({ flushed, transfers, reports }: CheckedDma): string {
  const what = `checked: ${transfers} unsnooped rounds ${flushed ? "with" : "without"} flushes`;
  if (reports.length === 0) return `${what}: nothing is reported`;
  return `${what}: ${reports.map(coherencyLine).join("; ")}`;
}
