// The file `resource` of a function: start, end and IORESOURCE_* flags of each of its address ranges, in the order of
// the kernel's resource numbers: BARs, ROM, BARs of the virtual functions, windows of a bridge.
// Source: resource_show of drivers/pci/pci-sysfs.c, pci_read_bases, pci_read_bridge_bases; include/linux/ioport.h.
import { type AssignedBar, type BridgeWindow, type PciFunction, ROM_BAR } from "@minivmm/pci";

const IORESOURCE_IO = 0x100;
const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_READONLY = 0x4000;
const IORESOURCE_SIZEALIGN = 0x4_0000;
const IORESOURCE_MEM_64 = 0x10_0000;
const IORESOURCE_ROM_SHADOW = 0x2;
const IORESOURCE_PCI_FIXED = 0x10;
/** The low bits repeat those of the register. */
const BAR_IO = 0x1;
const BAR_64 = 0x4;
const BAR_PREFETCH = 0x8;
const WINDOW_64 = 0x1;

const BARS = 7;
const VIRTUAL_BARS = 6;
/** I/O, memory, prefetchable memory, and a fourth that no bridge here has. */
const WINDOWS = ["io", "memory32", "memory64", null] as const;
const WINDOW_FLAGS = {
  io: IORESOURCE_IO,
  memory32: IORESOURCE_MEM,
  memory64: IORESOURCE_MEM | IORESOURCE_PREFETCH | IORESOURCE_MEM_64 | WINDOW_64,
} as const;

type Row = readonly [start: number, end: number, flags: number];
const NONE: Row = [0, 0, 0];

export function resourceTable(fn: PciFunction): string {
  const rows: Row[] = [];
  for (let index = 0; index < BARS; index++) rows.push(index === ROM_BAR ? romRow(fn) : barRow(fn.bar(index), 1));
  for (let index = 0; index < VIRTUAL_BARS; index++) {
    const bar = fn.iov?.bars.find((each) => each.index === index);
    rows.push(barRow(bar, fn.iov?.totalVfs ?? 0));
  }
  if (fn.secondary) for (const space of WINDOWS) rows.push(space ? windowRow(fn.windows[space], space) : NONE);
  return `${rows.map((row) => row.map(hex).join(" ")).join("\n")}\n`;
}

const hex = (value: number): string => `0x${value.toString(16).padStart(16, "0")}`;

function barRow(bar: AssignedBar | undefined, count: number): Row {
  if (!bar || bar.address === 0) return NONE;
  return [bar.address, bar.address + bar.size * count - 1, barFlags(bar)];
}

function barFlags({ type, prefetchable }: AssignedBar): number {
  if (type === "io") return IORESOURCE_IO | IORESOURCE_SIZEALIGN | BAR_IO;
  const prefetch = prefetchable ? IORESOURCE_PREFETCH | BAR_PREFETCH : 0;
  return IORESOURCE_MEM | IORESOURCE_SIZEALIGN | prefetch | (type === "mem64" ? IORESOURCE_MEM_64 | BAR_64 : 0);
}

function romRow(fn: PciFunction): Row {
  const shadow = fn.shadowRom;
  if (shadow) {
    const flags = IORESOURCE_MEM | IORESOURCE_ROM_SHADOW | IORESOURCE_PCI_FIXED;
    return [shadow.address, shadow.address + shadow.size - 1, flags];
  }
  const [start, end, flags] = barRow(fn.bar(ROM_BAR), 1);
  return start === 0 ? NONE : [start, end, flags | IORESOURCE_PREFETCH | IORESOURCE_READONLY];
}

function windowRow(window: BridgeWindow | undefined, space: keyof typeof WINDOW_FLAGS): Row {
  return window ? [window.base, window.base + window.size - 1, WINDOW_FLAGS[space]] : NONE;
}
