// Where a DMA request of the guest's devices goes, page by page, and what stands in its way: what TceDma does, for somebody who
// wants to know why.
import { TCE_PERMISSIONS, TCE_READ, TCE_WRITE, type TceTables } from "../iommu.ts";
import type { SpaprTceTable } from "../tce-table.ts";

/** A bus page of a request. */
export interface DmaStep {
  readonly busHi: number;
  readonly busLo: number;
  /** Bytes of the request in this page, from the address on. */
  readonly length: number;
  /** Null: no window of the device is there. */
  readonly table: SpaprTceTable | null;
  /** Guest real address that the entry leads to; -1 where nothing is mapped. */
  readonly real: number;
  /** TCE_READ and TCE_WRITE, as the entry has them. */
  readonly permissions: number;
  /** What refuses the request here. */
  readonly refusal: "outside" | "not mapped" | "permission" | "no RAM" | null;
}

export interface DmaExtent {
  readonly busHi: number;
  readonly busLo: number;
  readonly length: number;
  readonly write: boolean;
}

/** Up to the first page that refuses, which is the last one given. `ramBytes`: RAM begins at 0. */
export function* walkDma(
  tables: TceTables,
  liobns: readonly number[],
  ramBytes: number,
  { busHi, busLo, length, write }: DmaExtent,
): Generator<DmaStep> {
  let [hi, lo] = [busHi, busLo];
  let left = length;
  let table: SpaprTceTable | null = null;
  while (left > 0) {
    table ??= tableOf(tables, liobns, hi, lo);
    const index = table?.indexOf(hi, lo) ?? -1;
    // A request does not go on in another window.
    if (table === null || index < 0) {
      yield { busHi: hi, busLo: lo, length: left, table: null, real: -1, permissions: 0, refusal: "outside" };
      return;
    }
    const { pageBytes } = table;
    const inPage = lo % pageBytes;
    const chunk = Math.min(left, pageBytes - inPage);
    const [low, high] = [table.low(index), table.high(index)];
    const permissions = low & TCE_PERMISSIONS;
    const entry = high * 2 ** 32 + low;
    const real = permissions === 0 ? -1 : entry - (entry % pageBytes) + inPage;
    const refusal = refusalOf(permissions, write, high < 0x20_0000 && real + chunk <= ramBytes);
    yield { busHi: hi, busLo: lo, length: chunk, table, real, permissions, refusal };
    if (refusal !== null) return;
    left -= chunk;
    lo += chunk;
    if (lo >= 2 ** 32) [hi, lo] = [hi + 1, lo - 2 ** 32];
  }
}

function refusalOf(permissions: number, write: boolean, ram: boolean): DmaStep["refusal"] {
  if (permissions === 0) return "not mapped";
  if ((permissions & (write ? TCE_WRITE : TCE_READ)) === 0) return "permission";
  return ram ? null : "no RAM";
}

function tableOf(tables: TceTables, liobns: readonly number[], hi: number, lo: number): SpaprTceTable | null {
  for (const liobn of liobns) {
    const table = tables.find(liobn);
    if (table !== undefined && table.indexOf(hi, lo) >= 0) return table;
  }
  return null;
}
