/**
 * Virtual BARs: what the user wrote, reduced to what a BAR of the host's size and kind can hold.
 *
 * Source: vfio_bar_fixup of vfio_pci_config.c. Reading after a write of all ones gives the size mask, as on hardware;
 * the address never reaches the device.
 */
import type { PciFunction } from "@minivmm/pci";
import { PCI_BASE_ADDRESS_0, PCI_ROM_ADDRESS } from "./header.ts";

/** One BAR as the host assigned it. Size 0: not implemented, or the upper half of a 64-bit BAR. */
export interface HostBar {
  /** Host physical address (or port number); 0 when unassigned. */
  readonly start: number;
  /** What the host put into the register. */
  readonly bus: number;
  readonly size: number;
  readonly kind: "memory" | "io";
  readonly prefetchable: boolean;
  readonly wide: boolean;
}

export const NO_BAR: HostBar = { start: 0, bus: 0, size: 0, kind: "memory", prefetchable: false, wide: false };
export const ROM_INDEX = 6;

/** BARs 0..5 and the ROM of a function, holes filled with NO_BAR. */
export function hostBars(fn: PciFunction): HostBar[] {
  return Array.from({ length: ROM_INDEX + 1 }, (_, index) => {
    const bar = fn.bar(index);
    if (!bar) return index === ROM_INDEX ? shadowBar(fn) : NO_BAR;
    return {
      start: bar.address,
      bus: bar.busAddress,
      size: bar.size,
      kind: bar.type === "io" ? "io" : "memory",
      prefetchable: bar.prefetchable,
      wide: bar.type === "mem64",
    };
  });
}

/** A ROM that firmware copied to memory counts as one of the function, with no register behind it. */
function shadowBar({ shadowRom }: PciFunction): HostBar {
  return shadowRom ? { ...NO_BAR, start: shadowRom.address, size: shadowRom.size } : NO_BAR;
}

const IO_SPACE = 1;
const TYPE_64 = 4;
const PREFETCH = 8;
const ROM_ENABLE = 1;

export function fixBars(vconfig: Uint8Array, bars: readonly HostBar[]): void {
  const words = new DataView(vconfig.buffer, vconfig.byteOffset);
  for (let i = 0; i < ROM_INDEX; i++) {
    const at = PCI_BASE_ADDRESS_0 + 4 * i;
    const bar = bars[i] ?? NO_BAR;
    if (bar.start === 0) {
      words.setUint32(at, 0, true);
      continue;
    }
    words.setUint32(at, (words.getUint32(at, true) & addressMask(bar.size)) | typeBits(bar), true);
    if (!bar.wide || i + 1 >= ROM_INDEX) continue;
    i++;
    words.setUint32(at + 4, words.getUint32(at + 4, true) & upperMask(bar.size), true);
  }
  const rom = bars[ROM_INDEX] ?? NO_BAR;
  const mask = rom.start === 0 ? 0 : addressMask(rom.size) | ROM_ENABLE;
  words.setUint32(PCI_ROM_ADDRESS, words.getUint32(PCI_ROM_ADDRESS, true) & mask, true);
}

function addressMask(size: number): number {
  return size >= 0x1_0000_0000 ? 0 : ~(size - 1);
}

function upperMask(size: number): number {
  return size > 0x1_0000_0000 ? ~(size / 0x1_0000_0000 - 1) : 0xffffffff;
}

function typeBits(bar: HostBar): number {
  if (bar.kind === "io") return IO_SPACE;
  return (bar.prefetchable ? PREFETCH : 0) | (bar.wide ? TYPE_64 : 0);
}
