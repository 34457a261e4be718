// What a checker of DMA has found, as plain data: one report for each mistake, however often it is made.
// Invariants: the number of reports is bounded, whatever a guest does; the first occurrence is told at once, others are counted.
/**
 * unflushed: DMA that does not snoop reached memory whose newest bytes are in a cache.
 * not-invalidated: the CPU loaded from a cache what such DMA has overwritten in memory.
 * unmapped: DMA to a page that had been mapped, and is not any more.
 * not-mapped: DMA inside a window, to a page that is not mapped.
 * permission: DMA to a page that is mapped for the other direction only.
 * outside: DMA to where no window is, or to what is no RAM.
 */
export type CoherencyKind = "unflushed" | "not-invalidated" | "unmapped" | "not-mapped" | "permission" | "outside";

/** Addresses are hexadecimal texts. */
export interface CoherencyReport {
  readonly kind: CoherencyKind;
  /** The user's id of the device. */
  readonly device: string;
  /** What the device did. */
  readonly access: "read" | "write";
  readonly busAddress: string;
  /** Guest real page; null where the bus address leads to none. */
  readonly page: string | null;
  /** Where the guest was, as far as that is known. */
  readonly pc: string | null;
  /** What the bus address leads to, or led to. */
  readonly mapping: string;
  /** What the guest should have done. */
  readonly missing: string;
  /** How often it happened, at whatever PC. */
  readonly count: number;
}

/** Part of a VM's summary; absent while nothing is checked. */
export interface CoherencySummary {
  readonly coherency?: readonly CoherencyReport[];
  /** Mistakes that are not in the list for want of room, each time they were made. */
  readonly coherencyDropped?: number;
}

/** What is known of one occurrence. `describe` is called for the first one only. */
export interface Finding {
  readonly kind: CoherencyKind;
  readonly device: string;
  readonly write: boolean;
  readonly busHi: number;
  readonly busLo: number;
  readonly page: number | null;
  readonly describe: () => { readonly pc: bigint | null; readonly mapping: string; readonly missing: string };
}

/** Mistakes that are told apart. */
export const REPORTS_MAX = 64;
const PAGE = 4096;

export class CoherencyLog {
  private dropped = 0;
  private readonly tell: (report: CoherencyReport) => void;
  private readonly byKey = new Map<string, { report: Omit<CoherencyReport, "count">; count: number }>();

  /** `tell`: called with the first occurrence of each. */
  constructor(tell: (report: CoherencyReport) => void = () => undefined) {
    this.tell = tell;
  }

  summary(): Required<CoherencySummary> {
    const coherency = [...this.byKey.values()].map(({ report, count }) => ({ ...report, count }));
    return { coherency, coherencyDropped: this.dropped };
  }

  add({ kind, device, write, busHi, busLo, page, describe }: Finding): void {
    const bus = address(busHi, busLo);
    const key = `${kind} ${device} ${write} ${address(busHi, busLo - (busLo % PAGE))}`;
    const known = this.byKey.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (this.byKey.size >= REPORTS_MAX) {
      this.dropped++;
      return;
    }
    const { pc, mapping, missing } = describe();
    const report = {
      kind,
      device,
      access: write ? ("write" as const) : ("read" as const),
      busAddress: bus,
      page: page === null ? null : `0x${page.toString(16)}`,
      pc: pc === null ? null : `0x${pc.toString(16)}`,
      mapping,
      missing,
    };
    this.byKey.set(key, { report, count: 1 });
    this.tell({ ...report, count: 1 });
  }
}

/** A 64-bit address in two halves, as text. */
export function address(hi: number, lo: number): string {
  return hi === 0 ? `0x${lo.toString(16)}` : `0x${hi.toString(16)}${lo.toString(16).padStart(8, "0")}`;
}
