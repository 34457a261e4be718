// What the checker of DMA found, for people: a line when it is found, and a list in the summary.
import type { CoherencyReport, CoherencySummary } from "@minivmm/vmm";
import { grouped } from "./numbers.ts";

const WORDS: Readonly<Record<CoherencyReport["kind"], string>> = {
  unflushed: "past a cache that has newer bytes",
  "not-invalidated": "past a cache, from which the CPU then used older bytes",
  unmapped: "to a page that is not mapped any more",
  "not-mapped": "to a page that is not mapped",
  permission: "against the permissions of its mapping",
  outside: "to where it reaches no memory",
};

/** One line, without its end. */
export function coherencyLine(report: CoherencyReport): string {
  const { device, access, busAddress, pc, kind, mapping, missing, count } = report;
  const where = pc === null ? "" : `, guest at ${pc}`;
  const often = count > 1 ? `, ${grouped(count)} times` : "";
  return `${device} ${access}s ${busAddress} ${WORDS[kind]}${where}${often}; there: ${mapping}; missing: ${missing}`;
}

/** Lines of the summary; none where nothing was looked at. */
export function coherencyLines({ coherency, coherencyDropped = 0 }: CoherencySummary): string[] {
  if (coherency === undefined) return [];
  if (coherency.length === 0) return ["  nothing was found"];
  const more = coherencyDropped === 0 ? [] : [`  and ${grouped(coherencyDropped)} more that are not listed`];
  return [...coherency.map((report) => `  ! ${coherencyLine(report)}`), ...more];
}
