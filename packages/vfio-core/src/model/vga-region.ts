/**
 * Region 8 of a display: its legacy memory at 0xa0000 and the ports at 0x3b0 and 0x3c0, by their own addresses.
 *
 * A request is cut at the end of the range it starts in and split into naturally aligned accesses; ports are bytes, so a
 * wider access finds nobody. Between the ranges there is nothing. Source: vfio_pci_vga_rw of vfio_pci_rdwr.c.
 */
import { EINVAL } from "@minivmm/host";
import type { LegacyDisplay, PciFunction } from "@minivmm/pci";
import { PCI_CLASS_REVISION } from "@minivmm/pci";

export const VGA_REGION_SIZE = 0xc0000;
const CLASS_VGA = 0x0300;
const MEMORY = { start: 0xa0000, end: 0xc0000 } as const;
const PORTS = [
  { start: 0x3b0, end: 0x3bc },
  { start: 0x3c0, end: 0x3e0 },
] as const;

/** The display behind region 8, null when the function has no such region. */
export function legacyDisplay(fn: PciFunction): LegacyDisplay | null {
  return fn.config.read(PCI_CLASS_REVISION, 4) >>> 16 === CLASS_VGA ? fn.device.legacy : null;
}

/** Bytes read, or -errno. */
export function readVga(display: LegacyDisplay, into: Uint8Array, pos: number): number {
  const { memory, end } = rangeOf(pos);
  if (end === 0) return -EINVAL;
  const count = Math.min(into.length, end - pos);
  for (let done = 0; done < count; ) {
    const width = widthAt(pos + done, count - done);
    for (let i = 0; i < width; i++) {
      const at = pos + done + i;
      if (memory) into[done + i] = display.readMemory(at - MEMORY.start);
      else into[done + i] = width === 1 ? display.readPort(at) : 0xff;
    }
    done += width;
  }
  return count;
}

/** Bytes written, or -errno. */
export function writeVga(display: LegacyDisplay, from: Uint8Array, pos: number): number {
  const { memory, end } = rangeOf(pos);
  if (end === 0) return -EINVAL;
  const count = Math.min(from.length, end - pos);
  for (let done = 0; done < count; ) {
    const width = widthAt(pos + done, count - done);
    for (let i = 0; i < width; i++) {
      const at = pos + done + i;
      if (memory) display.writeMemory(at - MEMORY.start, from[done + i] as number);
      else if (width === 1) display.writePort(at, from[done + i] as number);
    }
    done += width;
  }
  return count;
}

/** How many of `size` bytes a write there would take, or -errno. */
export function checkVga(size: number, pos: number): number {
  const { end } = rangeOf(pos);
  return end === 0 ? -EINVAL : Math.min(size, end - pos);
}

/** `end` 0: no range has this address. */
function rangeOf(pos: number): { readonly memory: boolean; readonly end: number } {
  if (pos >= MEMORY.start && pos < MEMORY.end) return { memory: true, end: MEMORY.end };
  return { memory: false, end: PORTS.find(({ start, end }) => pos >= start && pos < end)?.end ?? 0 };
}

function widthAt(at: number, left: number): 1 | 2 | 4 | 8 {
  if (left >= 8 && at % 8 === 0) return 8;
  if (left >= 4 && at % 4 === 0) return 4;
  return left >= 2 && at % 2 === 0 ? 2 : 1;
}
