/**
 * The first 64 bytes of a type 0 configuration header as a user of vfio-pci sees them.
 *
 * BARs, ROM address, interrupt line and pin are virtual; COMMAND passes through but for INTx disable.
 * Source: init_pci_cap_basic_perm of vfio_pci_config.c.
 */
import { ALL, HEADER, NONE, type PermissionMap } from "./permissions.ts";

export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_ROM_ADDRESS = 0x30;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_PIN = 0x3d;
export const PCI_STD_HEADER_SIZEOF = 0x40;

export const PCI_COMMAND_IO = 1;
export const PCI_COMMAND_MEMORY = 2;
export const PCI_COMMAND_MASTER = 4;
export const PCI_COMMAND_INTX_DISABLE = 0x400;
export const PCI_STATUS_INTERRUPT = 0x08;
export const PCI_STATUS_CAP_LIST = 0x10;

/** Offset, bytes, virtual bits, writable bits. */
const FIELDS: readonly [at: number, bytes: 1 | 2 | 4, virt: number, write: number][] = [
  [0x00, 4, ALL, NONE], // ids
  [PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE, ALL],
  [PCI_STATUS, 2, PCI_STATUS_CAP_LIST, NONE],
  [0x0c, 1, NONE, ALL], // cache line
  [0x0d, 1, NONE, ALL], // latency timer
  [0x0f, 1, NONE, ALL], // BIST
  [0x10, 4, ALL, ALL],
  [0x14, 4, ALL, ALL],
  [0x18, 4, ALL, ALL],
  [0x1c, 4, ALL, ALL],
  [0x20, 4, ALL, ALL],
  [0x24, 4, ALL, ALL],
  [PCI_ROM_ADDRESS, 4, ALL, ALL],
  [PCI_CAPABILITY_LIST, 1, ALL, NONE],
  [0x3c, 1, ALL, ALL], // interrupt line
  [PCI_INTERRUPT_PIN, 1, ALL, NONE],
];

export function claimHeader(map: PermissionMap): void {
  map.claim(HEADER, 0, PCI_STD_HEADER_SIZEOF);
  for (const [at, bytes, virt, write] of FIELDS) map.set(at, bytes, virt, write);
}

/** Is any byte of the chunk part of a BAR or the ROM address? */
export function touchesBar(offset: number, size: number): boolean {
  const bars = offset + size > PCI_BASE_ADDRESS_0 && offset < 0x28;
  return bars || (offset + size > PCI_ROM_ADDRESS && offset < PCI_ROM_ADDRESS + 4);
}
