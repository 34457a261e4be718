// The path of a group's DMA: bus address -> window -> TCE -> host physical memory. Whatever no window maps with the
// needed permission is refused, and the PE is told. No allocation within one IOMMU page or across adjoining pages.
// Source: PAPR 7.5 (DMA windows), PHB4 specification (TVE/TCE lookup).
import type { PhysicalMemory } from "@minivmm/host/model";
import type { IommuDomain } from "@minivmm/pci";
import { TCE_PCI_READ, TCE_PCI_WRITE } from "../uapi.ts";
import { offsetInPage } from "./bus-address.ts";
import type { PartitionableEndpoint } from "./pe.ts";
import type { TceTable } from "./table.ts";

const TWO_32 = 0x1_0000_0000;

export class SpaprDomain implements IommuDomain {
  readonly name = "spapr-tce";
  readonly #tables: readonly (TceTable | null)[];
  readonly #pe: PartitionableEndpoint;
  readonly #physical: PhysicalMemory;
  /** Bytes from the translated address on that are physically adjoining; set by `#translate`. */
  #run = 0;

  constructor(tables: readonly (TceTable | null)[], pe: PartitionableEndpoint, physical: PhysicalMemory) {
    this.#tables = tables;
    this.#pe = pe;
    this.#physical = physical;
  }

  read(hi: number, lo: number, into: Uint8Array): boolean {
    return this.#transfer(hi >>> 0, lo >>> 0, into, TCE_PCI_READ);
  }

  write(hi: number, lo: number, from: Uint8Array): boolean {
    return this.#transfer(hi >>> 0, lo >>> 0, from, TCE_PCI_WRITE);
  }

  /** Host physical address behind a bus address, or -1: for users that translate without moving data. */
  translate(hi: number, lo: number, permission: number): number {
    return this.#translate(hi >>> 0, lo >>> 0, 1, permission);
  }

  #transfer(hi: number, lo: number, bytes: Uint8Array, permission: number): boolean {
    if (this.#pe.dmaStopped) return false;
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.length - done;
      const at = lo + done;
      const high = at < TWO_32 ? hi : (hi + Math.floor(at / TWO_32)) >>> 0;
      const host = this.#translate(high, at % TWO_32, left, permission);
      const part = host < 0 ? bytes : this.#run >= left && done === 0 ? bytes : bytes.subarray(done, done + this.#run);
      const moved =
        host >= 0 && (permission === TCE_PCI_READ ? this.#physical.read(host, part) : this.#physical.write(host, part));
      if (!moved) {
        this.#pe.refused(permission === TCE_PCI_READ ? "read" : "write", high, at % TWO_32);
        return false;
      }
      done += part.length;
    }
    return true;
  }

  #translate(hi: number, lo: number, wanted: number, permission: number): number {
    for (let slot = 0; slot < this.#tables.length; slot++) {
      const table = this.#tables[slot];
      if (!table) continue;
      const entry = table.entryOf(hi, lo);
      if (entry < 0) continue;
      if ((table.permission(entry) & permission) === 0) return -1;
      const inside = offsetInPage(hi, lo, table.pageShift);
      const page = table.page(entry);
      let run = table.pageSize - inside;
      for (let next = entry + 1; run < wanted && next < table.entries; next++) {
        if ((table.permission(next) & permission) === 0) break;
        if (table.page(next) !== page + (next - entry) * table.pageSize) break;
        run += table.pageSize;
      }
      this.#run = Math.min(run, wanted);
      return page + inside;
    }
    return -1;
  }
}
