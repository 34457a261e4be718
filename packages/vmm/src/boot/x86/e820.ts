// The memory map that a PC's firmware hands to a kernel (INT 15h AX=E820h): RAM, less what is not the kernel's to use.
// Source: ACPI 6.5 section 15; Linux Documentation/arch/x86/zero-page.rst.
// Invariants: entries are sorted, do not overlap, and are not empty; what is reserved wins over RAM.

export interface AddressRange {
  readonly start: number;
  /** Bytes. */
  readonly size: number;
}

export const E820_RAM = 1;
export const E820_RESERVED = 2;

export interface E820Entry extends AddressRange {
  readonly type: typeof E820_RAM | typeof E820_RESERVED;
}

/** The map of RAM ranges (which do not overlap each other) with `reserved` ranges cut out of them. */
export function e820Map(ram: readonly AddressRange[], reserved: readonly AddressRange[]): E820Entry[] {
  const holes = merge(reserved);
  const map: E820Entry[] = holes.map((hole) => ({ ...hole, type: E820_RESERVED }));
  for (const { start, size } of ram) {
    let from = start;
    const end = start + size;
    for (const hole of holes) {
      if (hole.start + hole.size <= from || hole.start >= end) continue;
      if (hole.start > from) map.push({ start: from, size: hole.start - from, type: E820_RAM });
      from = hole.start + hole.size;
    }
    if (from < end) map.push({ start: from, size: end - from, type: E820_RAM });
  }
  return map.sort((a, b) => a.start - b.start);
}

/** Sorted ranges; those that touch or overlap become one. */
function merge(ranges: readonly AddressRange[]): AddressRange[] {
  const out: { start: number; size: number }[] = [];
  for (const { start, size } of [...ranges].sort((a, b) => a.start - b.start)) {
    if (size === 0) continue;
    const last = out.at(-1);
    if (last !== undefined && start <= last.start + last.size) {
      last.size = Math.max(last.size, start + size - last.start);
    } else {
      out.push({ start, size });
    }
  }
  return out;
}
