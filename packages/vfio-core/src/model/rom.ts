/**
 * Expansion ROM: how long its images are. Source: pci_get_rom_size of drivers/pci/rom.c.
 *
 * An image starts with 55 AA; bytes 0x18..0x19 point to its PCI data structure ("PCIR"), whose length field counts
 * 512-byte blocks and whose indicator's top bit marks the last image. Without a first image the ROM does not exist.
 */
import type { PciFunction } from "@minivmm/pci";
import { ROM_INDEX } from "./config/bars.ts";

const PCIR = 0x52494350;
const BLOCK = 512;

const out = new Uint32Array(2);

/** A byte of the ROM, or of its copy in memory. */
export function romByte(fn: PciFunction, at: number): number {
  if (fn.shadowRom) return fn.shadowRom.contents[at] ?? 0xff;
  fn.device.readBar(ROM_INDEX, at, 1, out);
  return out[0] as number;
}

/** Bytes of valid images, 0 for none; never more than the BAR. */
export function romImageSize(fn: PciFunction, barSize: number): number {
  const read = (at: number, width: 1 | 2): number => {
    if (at + width > barSize) return 0;
    const low = romByte(fn, at);
    return width === 1 ? low : low | (romByte(fn, at + 1) << 8);
  };
  let at = 0;
  while (at < barSize) {
    const data = at + read(at + 0x18, 2);
    if (read(at, 2) !== 0xaa55) return at;
    if (read(data, 2) + read(data + 2, 2) * 0x10000 !== PCIR) return at;
    const length = read(data + 0x10, 2) * BLOCK;
    if (length === 0) return at;
    at += length;
    if (read(data + 0x15, 1) & 0x80) break;
  }
  return Math.min(at, barSize);
}
