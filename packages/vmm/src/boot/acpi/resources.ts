// Resource templates: what _CRS says of a device's ports, memory, interrupts, and of a bridge's windows.
// Source: ACPI 6.5 section 6.4 (resource data types).
// Windows are those of a producer, with both ends fixed, decoded as they are; ranges are whole and not translated.
import { type Aml, buffer } from "./aml.ts";
import { acpiValue, concat, le } from "./bytes.ts";

const IO_PORT = 0x47;
const IRQ_NO_FLAGS = 0x22;
const END_TAG = 0x79;
const MEMORY32_FIXED = 0x86;
const WORD_SPACE = { tag: 0x88, width: 2 } as const;
const DWORD_SPACE = { tag: 0x87, width: 4 } as const;
const QWORD_SPACE = { tag: 0x8a, width: 8 } as const;

const TYPE_MEMORY = 0;
const TYPE_IO = 1;
const TYPE_BUS = 2;
const MIN_AND_MAX_FIXED = 0x0c;
/** All ports, whether they look like ISA's or not. */
const IO_ENTIRE_RANGE = 3;
/** Not cacheable. */
const MEMORY_READ_WRITE = 1;

/** The descriptors as a buffer for _CRS; a checksum of 0 says that there is none. */
export function resourceTemplate(...descriptors: readonly Uint8Array[]): Aml {
  return buffer(concat(...descriptors, [END_TAG, 0]));
}

/** `length` ports (at most 255) at a fixed place; all sixteen address bits are decoded. */
export function io(port: number, length: number): Uint8Array {
  return concat([IO_PORT, 1], le(port, 2), le(port, 2), [0], le(length, 1));
}

/** Edge-triggered, active high, not shared: an ISA interrupt. */
export function irqNoFlags(irq: number): Uint8Array {
  if (!Number.isInteger(irq) || irq < 0 || irq > 15) throw acpiValue(`there is no ISA interrupt ${irq}`);
  return concat([IRQ_NO_FLAGS], le(1 << irq, 2));
}

export function memory32Fixed(start: number, size: number): Uint8Array {
  return concat([MEMORY32_FIXED], le(9, 2), [MEMORY_READ_WRITE], le(start, 4), le(size, 4));
}

export function wordBusNumber(first: number, last: number): Uint8Array {
  return window(WORD_SPACE, TYPE_BUS, 0, first, last - first + 1);
}

export function wordIo(start: number, size: number): Uint8Array {
  return window(WORD_SPACE, TYPE_IO, IO_ENTIRE_RANGE, start, size);
}

export function dwordMemory(start: number, size: number): Uint8Array {
  return window(DWORD_SPACE, TYPE_MEMORY, MEMORY_READ_WRITE, start, size);
}

export function qwordMemory(start: number, size: number): Uint8Array {
  return window(QWORD_SPACE, TYPE_MEMORY, MEMORY_READ_WRITE, start, size);
}

/** Type, flags, then granularity, minimum, maximum, translation and length, each of the descriptor's width. */
function window(
  { tag, width }: { tag: number; width: 2 | 4 | 8 },
  type: number,
  flags: number,
  start: number,
  size: number,
): Uint8Array {
  const fields = [0, start, start + size - 1, 0, size].flatMap((number) => le(number, width));
  return concat([tag], le(3 + fields.length, 2), [type, MIN_AND_MAX_FIXED, flags], fields);
}
