// The forwarding windows of a type 1 header: base and limit registers, where base above limit closes the window
// (PCI-to-PCI Bridge 1.2, sections 3.2.5.6 to 3.2.5.10).
import type { ConfigSpace } from "../config-space.ts";
import * as regs from "../registers.ts";
import type { Space } from "./windows.ts";

/** Open `size` bytes at bus address `base`; size 0 closes the window. */
export function programWindow(config: ConfigSpace, space: Space, base: number, size: number): void {
  const closed = size === 0;
  const last = base + size - 1;
  if (space === "io") {
    config.write(regs.PCI_IO_BASE, 1, closed ? 0xf0 : (base >> 8) & 0xf0);
    config.write(regs.PCI_IO_LIMIT, 1, closed ? 0 : (last >> 8) & 0xf0);
    config.write(regs.PCI_IO_BASE_UPPER16, 2, closed ? 0 : base >>> 16);
    config.write(regs.PCI_IO_LIMIT_UPPER16, 2, closed ? 0 : last >>> 16);
    return;
  }
  const prefetch = space === "memory64";
  const high = (address: number): number => (closed ? 0 : Math.floor(address / 0x1_0000_0000));
  const step = (address: number): number => ((address % 0x1_0000_0000) / 0x10000) & 0xfff0;
  config.write(prefetch ? regs.PCI_PREF_MEMORY_BASE : regs.PCI_MEMORY_BASE, 2, closed ? 0xfff0 : step(base));
  config.write(prefetch ? regs.PCI_PREF_MEMORY_LIMIT : regs.PCI_MEMORY_LIMIT, 2, closed ? 0 : step(last));
  if (prefetch) {
    config.write(regs.PCI_PREF_BASE_UPPER32, 4, high(base));
    config.write(regs.PCI_PREF_LIMIT_UPPER32, 4, high(last));
  }
}
