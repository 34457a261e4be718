// What firmware does to a function when it hands out message interrupts: program address and data, leave the enable
// and mask bits alone, because those are the operating system's. Shared by emulated and passed-through functions.
import type { PciDevice } from "@minivmm/pci/function";

export function programMessages(
  device: PciDevice,
  kind: "msi" | "msix",
  addressHi: number,
  addressLo: number,
  firstData: number,
  count: number,
): void {
  const { msi, msix } = device;
  if (kind === "msi") {
    msi?.program(count > 0 ? addressHi : 0, count > 0 ? addressLo : 0, count > 0 ? firstData : 0, msi.enabled);
    return;
  }
  if (msix === null) return;
  for (let vector = 0; vector < msix.vectors; vector++) {
    const masked = (msix.table[vector * 4 + 3]! & 1) !== 0;
    if (vector < count) msix.program(vector, addressHi, addressLo, firstData + vector, masked);
    else msix.program(vector, 0, 0, 0, masked);
  }
}
