// Addresses and numbers of the machine pseries that guest-visible tables, the device tree and handlers must agree on.
// Source: QEMU 7.2 hw/ppc/spapr*.c for the values (guests know them from there), PAPR 2.7 for their meaning.
// RAM starts at 0. PCI windows lie far above any RAM and below 2^53, so an address is a plain number everywhere.
import { hex, VmmError } from "../../errors.ts";

/** CPU address and bus address of a PCI window; sizes in bytes. */
export interface PciWindow {
  readonly cpu: number;
  readonly bus: number;
  readonly size: number;
}

export const IO_WINDOW: PciWindow = { cpu: 0x2000_0000_0000, bus: 0, size: 0x1_0000 };
export const MEM32_WINDOW: PciWindow = { cpu: 0x2000_8000_0000, bus: 0x8000_0000, size: 0x8000_0000 };
export const MEM64_WINDOW: PciWindow = { cpu: 0x2100_0000_0000, bus: 0x2100_0000_0000, size: 0x100_0000_0000 };

/** Bus unit id of the PCI host bridge, as two halves: RTAS calls name the bridge with them. */
export const PHB_BUID_HI = 0x0800_0000;
export const PHB_BUID_LO = 0x2000_0000;

/** A message to this bus address is an interrupt; its data is the source number. */
export const MSI_WINDOW_HI = 0x400;
export const MSI_WINDOW_LO = 0;

export const XICS_IRQ_BASE = 0x1000;
export const XICS_IRQ_COUNT = 0x800;
export const IRQ_EPOW = 0x1000;
/** 256 interrupts of the VIO bus; the console has the first. */
export const IRQ_VIO = 0x1100;
export const IRQ_VTY = 0x1100;
/** Four level interrupts of the host bridge. */
export const IRQ_PCI_LSI = 0x1200;
export const IRQ_MSI_FIRST = 0x1300;

/** Device-tree handle of the interrupt controller, which interrupt maps refer to. */
export const XICS_PHANDLE = 0x1111;

/** Unit addresses that the machine hands out begin here. */
export const VIO_UNIT_BASE = 0x7100_0000;
export const VTY_UNIT = 0x7100_0000;

/** Logical I/O bus number of window `window` (0 default, 1 dynamic) of host bridge 0. */
export function pciLiobn(window: number): number {
  return (0x8000_0000 | window) >>> 0;
}
/** Where the first dynamic window goes while the default one is in use. */
export const DDW_WINDOW_HI = 0x0800_0000;
export const DDW_WINDOW_LO = 0;

export const RTAS_SIZE = 0x1000;
/** Ticks of the timebase in a second: fixed by the architecture's usual implementation. */
export const TIMEBASE_HZ = 512_000_000;

const RTAS_BELOW_2G = 0x7fff_0000;
const RTAS_BELOW_4G = 0xffff_0000;

/**
 * Real address of the RTAS entry. Nothing is stored there: the CPU stops when it fetches from it, so it must lie
 * outside RAM, and the kernel keeps it in 32 bits. Below 2 GiB of RAM that is 0x7fff0000, above it the last 64 KiB
 * below 4 GiB. Throws VmmError USAGE_MEMORY_TOO_LARGE when RAM leaves no such place.
 */
export function rtasEntry(ramBytes: number): number {
  if (ramBytes <= RTAS_BELOW_2G) return RTAS_BELOW_2G;
  if (ramBytes <= RTAS_BELOW_4G) return RTAS_BELOW_4G;
  throw new VmmError(`guest memory of ${hex(ramBytes)} bytes leaves no place for RTAS below 4 GiB`, {
    code: "USAGE_MEMORY_TOO_LARGE",
    details: { ramBytes, limit: RTAS_BELOW_4G },
    hint: "machine pseries with the software CPU takes less than 4 GiB",
  });
}
