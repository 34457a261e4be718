import { GuestMemory } from "@minivmm/host";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AddressRange,
  e820Map,
  encodeBootParams,
  identityMap,
  loadX86Guest,
  parseX86Kernel,
  X86_BOOT_AREA,
  type X86LoadRequest,
} from "../src/boot/index.ts";
import { property } from "./property.ts";
import { bzImage, x86Elf } from "./x86-kernels.ts";

const MIB = 0x10_0000;
const code = Uint8Array.from({ length: 32 }, (_, index) => index + 1);
const kernel = parseX86Kernel(bzImage(code, { preferred: 2 * MIB, initSize: MIB }));
const reserved: AddressRange[] = [
  { start: 0x9_fc00, size: 0x400 },
  { start: 0xe_0000, size: 0x2_0000 },
  { start: 0xe000_0000, size: MIB },
];

function load(change: Partial<X86LoadRequest> & { mib?: number } = {}) {
  const ram = new GuestMemory(new ArrayBuffer((change.mib ?? 16) * MIB), 0, (change.mib ?? 16) * MIB);
  const boot = loadX86Guest({ ram, highRamBytes: 0, kernel, rsdpAddress: 0xe_0000, reserved, ...change });
  return { ram, boot };
}

describe("vmm boot: a guest in a PC's RAM", () => {
  it("puts everything where the CPU and boot_params say", () => {
    const initrd = Uint8Array.from({ length: 5000 }, (_, index) => index * 7);
    const { ram, boot } = load({ initrd, append: "console=ttyS0 é" });
    expect(boot.entry).toBe(2 * MIB + 0x200);
    expect([...ram.slice(2 * MIB, 32)!]).toEqual([...code]);
    expect(boot.kernel).toEqual({ start: 2 * MIB, size: MIB });

    // Two pages are the fewest that hold 5000 bytes at the end of RAM.
    expect(boot.initrd).toEqual({ start: 16 * MIB - 0x2000, size: 5000 });
    expect(ram.slice(boot.initrd!.start, 5000)).toEqual(initrd);
    const zero = boot.bootParams;
    expect(ram.u32le(zero + 0x218)).toBe(boot.initrd!.start);
    expect(ram.u32le(zero + 0x21c)).toBe(5000);

    const text = ram.slice(ram.u32le(zero + 0x228), boot.commandLine.size)!;
    expect(new TextDecoder().decode(text)).toBe("console=ttyS0 é\0");
    expect(ram.u64le(zero + 0x70)).toBe(0xe_0000n);
    expect(ram.u8at(zero + 0x1ef)).toBe(0);
    expect(ram.u32le(zero + 0x202)).toBe(0x53726448);
    expect(ram.u8at(zero + 0x210)).toBe(0xff);
    expect(ram.u8at(zero + 0x1e8)).toBe(boot.e820.length);
  });

  it("has no initrd when none is given", () => {
    const { ram, boot } = load({ initrd: new Uint8Array(0) });
    expect(boot.initrd).toBeNull();
    expect(ram.u64le(boot.bootParams + 0x218)).toBe(0n);
  });

  it("cleans boot_params of what a former guest left there", () => {
    const ram = new GuestMemory(new ArrayBuffer(16 * MIB), 0, 16 * MIB);
    ram.u8.fill(0xff);
    const boot = loadX86Guest({ ram, highRamBytes: 0, kernel, rsdpAddress: 0, reserved });
    expect(ram.u8at(boot.bootParams + 0x1ef)).toBe(0);
    expect(ram.u8at(boot.bootParams + 0xfff)).toBe(0);
  });

  it("describes RAM on both sides of the hole, without what is reserved", () => {
    const { boot } = load({ highRamBytes: 0x4000_0000 });
    expect(boot.e820).toEqual([
      { start: 0, size: 0x9_fc00, type: 1 },
      { start: 0x9_fc00, size: 0x400, type: 2 },
      { start: 0xa_0000, size: 0x4_0000, type: 1 },
      { start: 0xe_0000, size: 0x2_0000, type: 2 },
      { start: MIB, size: 15 * MIB, type: 1 },
      { start: 0xe000_0000, size: MIB, type: 2 },
      { start: 0x1_0000_0000, size: 0x4000_0000, type: 1 },
    ]);
  });

  it("starts a small program in 2 MiB", () => {
    const program = parseX86Kernel(x86Elf(code, { memorySize: 0x1000 }));
    const { ram, boot } = load({ mib: 2, kernel: program });
    expect(boot.entry).toBe(MIB);
    expect([...ram.slice(MIB, 32)!]).toEqual([...code]);
  });

  it("keeps what it writes in low memory apart, below 640 KiB, and within what it says", () => {
    const { boot } = load({ append: "x".repeat(2047) });
    const sorted = [...X86_BOOT_AREA].sort((a, b) => a.start - b.start);
    sorted.forEach(({ start, size }, index) => {
      expect(start + size).toBeLessThanOrEqual(sorted[index + 1]?.start ?? 0x9_fc00);
    });
    for (const at of [boot.gdt.base, boot.bootParams, boot.cr3, boot.commandLine.start]) {
      expect(sorted.map(({ start }) => start)).toContain(at);
    }
  });

  it("gives the descriptors that the protocol names", () => {
    const { ram, boot } = load();
    expect(boot.gdt.limit).toBe(0x1f);
    expect(ram.u64le(boot.gdt.base + 0x10)).toBe(0x00af9b000000ffffn);
    expect(ram.u64le(boot.gdt.base + 0x18)).toBe(0x00cf93000000ffffn);
  });

  it.each<[string, Partial<X86LoadRequest> & { mib?: number }, string]>([
    ["memory that ends in the kernel", { mib: 2 }, "USAGE_MEMORY_TOO_SMALL"],
    ["memory without room for the initrd", { mib: 3, initrd: new Uint8Array(1) }, "USAGE_MEMORY_TOO_SMALL"],
    ["a command line that is too long", { append: "x".repeat(2048) }, "USAGE_COMMAND_LINE"],
    ["a command line with a NUL", { append: "a\0b" }, "USAGE_COMMAND_LINE"],
    [
      "an initrd above what the kernel reaches",
      { initrd: new Uint8Array(MIB), kernel: parseX86Kernel(bzImage(code, { initrdMax: 0x11f_fffe })) },
      "USAGE_CONFIG",
    ],
  ])("refuses %s and writes nothing", (_, change, expected) => {
    const bytes = (change.mib ?? 32) * MIB;
    const ram = new GuestMemory(new ArrayBuffer(bytes), 0, bytes);
    expect(() => load({ ...change, ram })).toThrow(expect.objectContaining({ code: expected }));
    expect(Buffer.from(ram.buffer).equals(Buffer.alloc(bytes))).toBe(true);
  });

  property(
    "says how much memory would do, and that much does",
    [fc.integer({ min: 1, max: 3 * MIB }), fc.integer({ min: MIB, max: 4 * MIB })],
    (initrdBytes, initSize) => {
      const small = { kernel: parseX86Kernel(bzImage(code, { preferred: MIB, initSize })) };
      let error: { details?: { needed: number } } = {};
      try {
        load({ ...small, mib: 2, initrd: new Uint8Array(initrdBytes) });
      } catch (thrown) {
        error = thrown as typeof error;
      }
      const mib = error.details === undefined ? 2 : Math.ceil(error.details.needed / MIB);
      const { boot } = load({ ...small, mib, initrd: new Uint8Array(initrdBytes) });
      expect(boot.initrd!.start % 4096).toBe(0);
      expect(boot.initrd!.start).toBeGreaterThanOrEqual(boot.kernel.start + boot.kernel.size);
      expect(boot.initrd!.start + initrdBytes).toBeLessThanOrEqual(mib * MIB);
    },
  );
});

describe("vmm boot: memory map", () => {
  const range = fc.record({ start: fc.nat(60), size: fc.nat(20) });
  const inside = (at: number) => (r: AddressRange) => at >= r.start && at < r.start + r.size;

  property(
    "each address is reserved, else RAM, else absent, in one entry",
    [range, range, fc.array(range, { maxLength: 6 })],
    (low, high, holes) => {
      const ram = [low, { start: high.start + 100, size: high.size }];
      const map = e820Map(ram, holes);
      for (let at = 0; at < 200; at++) {
        const type = holes.some(inside(at)) ? 2 : ram.some(inside(at)) ? 1 : undefined;
        expect(map.filter(inside(at)).map((entry) => entry.type)).toEqual(type === undefined ? [] : [type]);
      }
      for (const [index, { start, size }] of map.entries()) {
        expect(size).toBeGreaterThan(0);
        expect(start + size).toBeLessThanOrEqual(map[index + 1]?.start ?? Number.POSITIVE_INFINITY);
      }
    },
  );

  it("is refused with more entries than boot_params holds", () => {
    const ranges = (count: number) => Array.from({ length: count }, (_, index) => ({ start: index * 16, size: 8 }));
    const params = { setupHeader: kernel.setupHeader, commandLine: 0, initrd: null, rsdpAddress: 0 };
    expect(encodeBootParams({ ...params, e820: e820Map([], ranges(128)) })[0x1e8]).toBe(128);
    expect(() => encodeBootParams({ ...params, e820: e820Map([], ranges(129)) })).toThrow(
      expect.objectContaining({ code: "USAGE_CONFIG" }),
    );
  });
});

describe("vmm boot: identity map", () => {
  const BASE = 0x9000;
  const tables = new DataView(identityMap(BASE).buffer);

  /** What a CPU with 4-level paging makes of an address, for writing; null when it faults. */
  function walk(address: bigint): bigint | null {
    let table = BigInt(BASE);
    for (const shift of [39n, 30n, 21n, 12n]) {
      const entry = tables.getBigUint64(Number(table) - BASE + Number((address >> shift) & 511n) * 8, true);
      if ((entry & 3n) !== 3n) return null;
      const frame = entry & 0xf_ffff_ffff_f000n;
      if (shift === 21n && (entry & 0x80n) !== 0n) return frame + (address & 0x1f_ffffn);
      if (shift !== 12n) expect(entry & 0x80n).toBe(0n);
      table = frame;
    }
    return table + (address & 0xfffn);
  }

  property("leads every address below 4 GiB to itself", [fc.bigInt({ min: 0n, max: 0xffff_ffffn })], (address) => {
    expect(walk(address)).toBe(address);
  });

  property("has nothing above", [fc.bigInt({ min: 0x1_0000_0000n, max: 0xffff_ffff_ffffn })], (address) => {
    expect(walk(address)).toBeNull();
  });
});
