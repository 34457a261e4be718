// DMA of emulated functions: bus address -> TCE of the window that holds it -> guest RAM, page by page.
// The table may be KVM's: what the kernel wrote into it is what is looked up here.
// Invariants: an access without a window, without permission or to something that is not RAM is refused at that page;
// entries are looked up at every access, so a change by the guest takes effect at once.
import type { GuestMemory } from "@minivmm/host";
import type { DmaPort } from "@minivmm/pci";
import { TCE_READ, TCE_WRITE, type TceTables } from "./iommu.ts";
import type { SpaprTceTable } from "./tce-table.ts";

export class TceDma implements DmaPort {
  private readonly tables: TceTables;
  private readonly ram: GuestMemory;
  private readonly liobns: readonly number[];

  constructor(tables: TceTables, liobns: readonly number[], ram: GuestMemory) {
    this.tables = tables;
    this.ram = ram;
    this.liobns = liobns;
  }

  read(hi: number, lo: number, into: Uint8Array): boolean {
    return this.walk(hi, lo, into.length, TCE_READ, (gpa, at, length) =>
      this.ram.readBytes(gpa, into.subarray(at, at + length)),
    );
  }

  write(hi: number, lo: number, from: Uint8Array): boolean {
    return this.walk(hi, lo, from.length, TCE_WRITE, (gpa, at, length) =>
      this.ram.writeBytes(gpa, from.subarray(at, at + length)),
    );
  }

  private walk(
    hi: number,
    lo: number,
    length: number,
    permission: number,
    copy: (gpa: number, at: number, length: number) => boolean,
  ): boolean {
    const table = this.tableOf(hi, lo);
    if (table === undefined) return false;
    const { pageBytes } = table;
    let index = table.indexOf(hi, lo);
    let inPage = lo % pageBytes;
    for (let at = 0; at < length; index++) {
      if (index >= table.entries) return false;
      const low = table.low(index);
      const high = table.high(index);
      if ((low & permission) === 0 || high >= 0x20_0000) return false;
      const entry = high * 0x1_0000_0000 + low;
      const chunk = Math.min(length - at, pageBytes - inPage);
      if (!copy(entry - (entry % pageBytes) + inPage, at, chunk)) return false;
      at += chunk;
      inPage = 0;
    }
    return true;
  }

  private tableOf(hi: number, lo: number): SpaprTceTable | undefined {
    for (const liobn of this.liobns) {
      const table = this.tables.find(liobn);
      if (table !== undefined && table.indexOf(hi, lo) >= 0) return table;
    }
    return undefined;
  }
}
