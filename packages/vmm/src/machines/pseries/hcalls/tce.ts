// TCE hypercalls answered in user space: H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_GET_TCE. Under KVM these are the
// ones that the kernel left: no table of its own for the LIOBN, or too hard for it. The whole call is done (again) here.
// Source: PAPR 2.7 section 14.5.4.2; argument checks and their order as QEMU 7.2 hw/ppc/spapr_iommu.c makes them:
// low bits of the bus address are ignored, any entry value is stored, a list is applied up to its first failure.
import type { GuestMemory } from "@minivmm/host";
import { H_GET_TCE, H_PARAMETER, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_SUCCESS } from "@minivmm/kvm";
import type { TceTables } from "../iommu.ts";
import type { SpaprTceTable } from "../tce-table.ts";
import { type HcallTable, hi, lo, put, type Registers, small } from "./table.ts";

/** Entries in one indirect list: a 4 KiB page of 64-bit words. */
const LIST_MAX = 512;

export function registerTceHcalls(table: HcallTable, tables: TceTables, ram: GuestMemory): void {
  table.register(H_PUT_TCE, "H_PUT_TCE", (registers) => {
    const window = windowOf(tables, registers);
    if (window === undefined) return H_PARAMETER;
    return putOne(tables, window, hi(registers, 5), lo(registers, 5), hi(registers, 6), lo(registers, 6));
  });

  table.register(H_PUT_TCE_INDIRECT, "H_PUT_TCE_INDIRECT", (registers) => {
    const window = windowOf(tables, registers);
    const list = small(registers, 6);
    const count = small(registers, 7);
    if (window === undefined || count < 1 || count > LIST_MAX) return H_PARAMETER;
    if (list < 0 || list % 4096 !== 0 || !ram.contains(list, count * 8)) return H_PARAMETER;
    const ioHi = hi(registers, 5);
    const ioLo = lo(registers, 5);
    const first = window.indexOf(ioHi, ioLo);
    for (let i = 0; i < count; i++) {
      if (first < 0 || first + i >= window.entries) return H_PARAMETER;
      tables.store(window, first + i, ram.u32be(list + i * 8), ram.u32be(list + i * 8 + 4));
    }
    return H_SUCCESS;
  });

  table.register(H_STUFF_TCE, "H_STUFF_TCE", (registers) => {
    const window = windowOf(tables, registers);
    const count = small(registers, 7);
    if (window === undefined || count < 1 || count > window.entries) return H_PARAMETER;
    const first = window.indexOf(hi(registers, 5), lo(registers, 5));
    for (let i = 0; i < count; i++) {
      if (first < 0 || first + i >= window.entries) return H_PARAMETER;
      tables.store(window, first + i, hi(registers, 6), lo(registers, 6));
    }
    return H_SUCCESS;
  });

  table.register(H_GET_TCE, "H_GET_TCE", (registers) => {
    const window = windowOf(tables, registers);
    const index = window === undefined ? -1 : window.indexOf(hi(registers, 5), lo(registers, 5));
    if (window === undefined || index < 0) return H_PARAMETER;
    put(registers, 4, window.high(index), window.low(index));
    return H_SUCCESS;
  });
}

function windowOf(tables: TceTables, registers: Registers): SpaprTceTable | undefined {
  const window = hi(registers, 4) === 0 ? tables.find(lo(registers, 4)) : undefined;
  if (window !== undefined) window.record.userCalls++;
  return window;
}

function putOne(
  tables: TceTables,
  window: SpaprTceTable,
  ioHi: number,
  ioLo: number,
  tceHi: number,
  tceLo: number,
): number {
  const index = window.indexOf(ioHi, ioLo);
  if (index < 0) return H_PARAMETER;
  tables.store(window, index, tceHi, tceLo);
  return H_SUCCESS;
}
