// Base address registers: what a device asks for, and the registers that answer sizing (write ones, read the mask).
// Source: PCI Local Bus 3.0 section 6.2.5. Index 0..5 are the BARs (a 64-bit one takes two), 6 is the expansion ROM.
// Invariant: sizes are powers of two, memory at least 16 bytes, I/O 4..256 bytes, ROM at least 2 KiB.
import type { ConfigSpace } from "./config-space.ts";
import { PciError } from "./error.ts";
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS_ENABLE,
  PCI_ROM_ADDRESS1,
} from "./registers.ts";

export type BarWidth = 1 | 2 | 4 | 8;

export const ROM_BAR = 6;

export interface BarDescription {
  /** 0..5, or {@link ROM_BAR}. */
  readonly index: number;
  readonly type: "mem32" | "mem64" | "io" | "rom";
  /** Bytes, a power of two below 2^53. */
  readonly size: number;
  readonly prefetchable: boolean;
}

/** A BAR with the place the host's firmware gave it. */
export interface AssignedBar extends BarDescription {
  /** Host physical address (CPU side), or 0 while unassigned. */
  address: number;
  /** What the register holds (bus side); differs from `address` where the host bridge translates. */
  busAddress: number;
}

/** Write the sizing registers of a BAR. @throws PciError BAR_INVALID */
export function defineBar(config: ConfigSpace, bar: BarDescription, header: 0 | 1 = 0): void {
  validate(bar, header);
  const low = bar.size >= 0x1_0000_0000 ? 0 : ~(bar.size - 1) >>> 0;
  const at = barOffset(bar.index, header);
  switch (bar.type) {
    case "io":
      config.define(at, 4, { value: PCI_BASE_ADDRESS_SPACE_IO, write: low });
      return;
    case "rom":
      config.define(at, 4, { write: (low & ~0x7ff) | PCI_ROM_ADDRESS_ENABLE });
      return;
    default: {
      const type = bar.type === "mem64" ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0;
      config.define(at, 4, { value: type | (bar.prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0), write: low });
      if (bar.type === "mem64") {
        const high = bar.size > 0x1_0000_0000 ? ~(bar.size / 0x1_0000_0000 - 1) >>> 0 : 0xffffffff;
        config.define(at + 4, 4, { write: high });
      }
    }
  }
}

export function barOffset(index: number, header: 0 | 1 = 0): number {
  if (index === ROM_BAR) return header === 0 ? PCI_ROM_ADDRESS : PCI_ROM_ADDRESS1;
  return PCI_BASE_ADDRESS_0 + index * 4;
}

/** Bus address that software last wrote into a BAR (type bits removed). */
export function readBarAddress(config: ConfigSpace, bar: BarDescription, header: 0 | 1 = 0): number {
  const at = barOffset(bar.index, header);
  const low = config.read(at, 4);
  if (bar.type === "io") return (low & ~3) >>> 0;
  if (bar.type === "rom") return (low & ~0x7ff) >>> 0;
  const high = bar.type === "mem64" ? config.read(at + 4, 4) : 0;
  return high * 0x1_0000_0000 + ((low & ~0xf) >>> 0);
}

/** Program a BAR as firmware does. The ROM is left disabled. */
export function writeBarAddress(config: ConfigSpace, bar: BarDescription, busAddress: number, header: 0 | 1 = 0): void {
  const at = barOffset(bar.index, header);
  config.write(at, 4, busAddress % 0x1_0000_0000);
  if (bar.type === "mem64") config.write(at + 4, 4, Math.floor(busAddress / 0x1_0000_0000));
}

const MINIMUM = { mem32: 16, mem64: 16, io: 4, rom: 2048 } as const;
const MAXIMUM = { mem32: 2 ** 31, mem64: 2 ** 50, io: 256, rom: 2 ** 24 } as const;

function validate(bar: BarDescription, header: 0 | 1): void {
  const { index, type, size } = bar;
  const slots = header === 0 ? 6 : 2;
  const place =
    type === "rom" ? index === ROM_BAR : index >= 0 && index < slots && !(type === "mem64" && index + 1 >= slots);
  const power = Number.isInteger(Math.log2(size)) && size >= MINIMUM[type] && size <= MAXIMUM[type];
  if (place && power) return;
  throw new PciError(`BAR ${index} (${type}, ${size} bytes) cannot exist`, {
    code: "BAR_INVALID",
    details: { index, type, size },
    hint: "sizes are powers of two (memory >= 16, I/O 4..256, ROM >= 2048); a mem64 BAR needs the next index too; ROM is index 6",
  });
}
