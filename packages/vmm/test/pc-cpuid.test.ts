import { kvm_segment, kvm_sregs } from "@minivmm/kvm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { X86Boot } from "../src/boot/index.ts";
import { BOOT_MSRS, bootCpuState } from "../src/machines/pc/cpu-state.ts";
import { type CpuidEntry, cpuidOfCpu, cpuVendor, physicalAddressBits } from "../src/machines/pc/cpuid.ts";
import { property } from "./property.ts";

const INDEXED = 1;
const leaf = (fn: number, regs: Partial<CpuidEntry> = {}): CpuidEntry => ({
  function: fn,
  index: 0,
  flags: 0,
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...regs,
});
const word = (letters: string): number => new DataView(new TextEncoder().encode(letters).buffer).getUint32(0, true);
const cacheEax = (type: number, level: number, sharers: number, cores: number): number =>
  ((cores << 26) | (sharers << 14) | (level << 5) | type) >>> 0;

/** What a host with many cores and two threads each might answer; the host CPU that was asked has APIC id 0x2a. */
const INTEL: CpuidEntry[] = [
  leaf(0, { eax: 0x1f, ebx: word("Genu"), edx: word("ineI"), ecx: word("ntel") }),
  leaf(1, { eax: 0x806f8, ebx: 0x2a_40_08_00, ecx: 0x7632_3203, edx: 0x1f8b_fbff }),
  ...[
    [1, 1],
    [2, 1],
    [3, 2],
    [3, 3],
  ].map(([type, level], index) =>
    leaf(4, { index, flags: INDEXED, eax: cacheEax(type!, level!, level! < 3 ? 1 : 127, 63) }),
  ),
  leaf(4, { index: 4, flags: INDEXED }),
  leaf(7, { flags: INDEXED, ebx: 0xdeadbeef }),
  leaf(0xb, { flags: INDEXED, edx: 0x2a }),
  leaf(0xb, { index: 1, flags: INDEXED, eax: 7, ebx: 64, ecx: 0x201, edx: 0x2a }),
  leaf(0x1f, { flags: INDEXED, edx: 0x2a }),
  leaf(0x4000_0000, { eax: 0x4000_0001, ebx: word("KVMK") }),
  leaf(0x8000_0001, { ecx: 0x121 }),
  leaf(0x8000_0008, { eax: 0x3034 }),
  leaf(0x8000_001d, { flags: INDEXED }),
  leaf(0x8000_001e),
];

const AMD: CpuidEntry[] = [
  leaf(0, { eax: 0x10, ebx: word("Auth"), edx: word("enti"), ecx: word("cAMD") }),
  leaf(1, { eax: 0xa20f12, ebx: 0x2a_20_08_00, ecx: 0xf6fa_3203, edx: 0x178b_fbff }),
  leaf(7, { flags: INDEXED }),
  leaf(0xb, { flags: INDEXED, edx: 0x2a }),
  leaf(0x8000_0001, { ecx: 0x75c2_37ff & ~2 }),
  leaf(0x8000_0008, { eax: 0x0030_3030, ecx: 0x0001_501f }),
  ...[
    [1, 1],
    [2, 1],
    [3, 2],
    [3, 3],
  ].map(([type, level], index) =>
    leaf(0x8000_001d, { index, flags: INDEXED, eax: cacheEax(type!, level!, level! < 3 ? 1 : 15, 0) }),
  ),
  leaf(0x8000_001e, { eax: 0x2a, ebx: 0x105, ecx: 0x101 }),
  leaf(0x8000_0026, { flags: INDEXED, eax: 0x2a, ebx: 64 }),
];

const find = (entries: readonly CpuidEntry[], fn: number, index = 0): CpuidEntry => {
  const found = entries.filter((entry) => entry.function === fn && entry.index === index);
  expect(found, `one entry for leaf 0x${fn.toString(16)}.${index}`).toHaveLength(1);
  return found[0]!;
};
const of = (host: CpuidEntry[], index: number, count: number, tscDeadline = true): CpuidEntry[] =>
  cpuidOfCpu(host, { index, count, tscDeadline });

describe("vmm pc: CPUID", () => {
  it("tells whose CPU it is, and how far its addresses go", () => {
    expect(cpuVendor(INTEL)).toBe("GenuineIntel");
    expect(cpuVendor(AMD)).toBe("AuthenticAMD");
    expect(physicalAddressBits(INTEL)).toBe(52);
    expect(physicalAddressBits(AMD)).toBe(48);
    expect(physicalAddressBits([leaf(0x8000_0008, { eax: 0x0030_3934 })])).toBe(48);
    expect(physicalAddressBits([])).toBe(36);
  });

  describe.each([
    // CPUs, bits of an APIC id, ids that the bits can hold
    [1, 0, 1],
    [2, 1, 2],
    [3, 2, 4],
    [8, 3, 8],
  ])("of %i CPUs", (count, bits, ids) => {
    const last = count - 1;

    it("leaf 1 has the APIC id, the count, and more than one thread of execution", () => {
      for (const host of [INTEL, AMD]) {
        const { ebx, edx } = find(of(host, last, count), 1);
        expect(ebx).toBe(last * 0x100_0000 + count * 0x1_0000 + 0x800);
        expect((edx >>> 28) & 1).toBe(count > 1 ? 1 : 0);
      }
    });

    it.each([
      ["Intel", INTEL, [0xb, 0x1f]],
      ["AMD", AMD, [0xb]],
    ] as const)("the levels of %s are one thread a core, all cores in one package", (_, host, leaves) => {
      const entries = of([...host], last, count);
      for (const fn of leaves) {
        expect(find(entries, fn, 0)).toMatchObject({ eax: 0, ebx: 1, ecx: 0x100, edx: last, flags: INDEXED });
        expect(find(entries, fn, 1)).toMatchObject({ eax: bits, ebx: count, ecx: 0x201, edx: last });
        expect(find(entries, fn, 2)).toMatchObject({ eax: 0, ebx: 0, ecx: 2, edx: last });
      }
    });

    it("Intel's caches are a core's own, but for the last one", () => {
      const entries = of(INTEL, last, count);
      for (const index of [0, 1, 2, 3]) {
        const { eax } = find(entries, 4, index);
        expect((eax >>> 14) & 0xfff).toBe(index === 3 ? ids - 1 : 0);
        expect(eax >>> 26).toBe(ids - 1);
        expect(eax & 0x3fff).toBe(INTEL.find((entry) => entry.function === 4 && entry.index === index)!.eax & 0x3fff);
      }
      expect(find(entries, 4, 4).eax).toBe(0);
    });

    it("AMD's leaves count the same", () => {
      const entries = of(AMD, last, count);
      expect(find(entries, 0x8000_0008).ecx).toBe(0x1_0000 + bits * 0x1000 + (count - 1));
      expect((find(entries, 0x8000_0001).ecx >>> 1) & 1).toBe(count > 1 ? 1 : 0);
      for (const index of [0, 1, 2, 3]) {
        const { eax } = find(entries, 0x8000_001d, index);
        expect((eax >>> 14) & 0xfff).toBe(index === 3 ? count - 1 : 0);
      }
      expect(find(entries, 0x8000_001e)).toMatchObject({ eax: last, ebx: last, ecx: 0, edx: 0 });
    });
  });

  it("says that there is a hypervisor, an x2APIC, and a deadline timer where there is one", () => {
    for (const host of [INTEL, AMD]) {
      expect(find(of(host, 0, 1, true), 1).ecx & 0x8120_0000).toBe(0x8120_0000 | 0);
      expect(find(of(host, 0, 1, false), 1).ecx & 0x8120_0000).toBe(0x8020_0000 | 0);
    }
  });

  it("leaves AMD's bits of an Intel CPU alone, and has no levels where leaf 0 ends before them", () => {
    expect(find(of(INTEL, 1, 2), 0x8000_0001).ecx).toBe(0x121);
    expect(find(of(INTEL, 1, 2), 0x8000_0008).ecx).toBe(0);
    expect(find(of(INTEL, 1, 2), 0x8000_001d)).toEqual(leaf(0x8000_001d, { flags: INDEXED }));
    expect(find(of(INTEL, 1, 2), 0x8000_001e)).toEqual(leaf(0x8000_001e));
    const old = INTEL.map((entry) => (entry.function === 0 ? { ...entry, eax: 0xa } : entry));
    expect(of(old, 0, 2).filter((entry) => entry.function === 0xb || entry.function === 0x1f)).toEqual([]);
    expect(of(AMD, 0, 2).filter((entry) => entry.function === 0x8000_0026)).toEqual([]);
  });

  property(
    "passes all other leaves on, and gives the same for CPUs but for their ids",
    [fc.constantFrom(INTEL, AMD), fc.integer({ min: 2, max: 254 })],
    (host, count) => {
      const one = of(host, 0, count);
      const two = of(host, 1, count);
      for (const fn of [0, 7, 0x4000_0000]) {
        expect(one.filter((entry) => entry.function === fn)).toEqual(host.filter((entry) => entry.function === fn));
      }
      const withoutIds = (entries: CpuidEntry[]) =>
        entries.map((entry) => {
          if (entry.function === 1) return { ...entry, ebx: entry.ebx & 0xff_ffff };
          if (entry.function === 0xb || entry.function === 0x1f) return { ...entry, edx: 0 };
          return entry.function === 0x8000_001e ? { ...entry, eax: 0, ebx: entry.ebx & ~0xff } : entry;
        });
      expect(withoutIds(two)).toEqual(withoutIds(one));
      for (const { eax, ebx, ecx, edx } of [...one, ...two]) {
        for (const value of [eax, ebx, ecx, edx]) expect(value).toBe(value >>> 0);
      }
    },
  );
});

describe("vmm pc: first CPU", () => {
  const boot: X86Boot = {
    entry: 0x100_0200,
    bootParams: 0x7000,
    cr3: 0x9000,
    gdt: { base: 0x6000, limit: 0x1f },
    kernel: { start: 0x100_0000, size: 0x10_0000 },
    initrd: null,
    commandLine: { start: 0x2_0000, size: 1 },
    e820: [],
  };
  const reset = { ...kvm_sregs.zero(), apic_base: 0xfee0_0900n, cr0: 0x6000_0010n, cr8: 3n };
  const { regs, sregs } = bootCpuState(reset, boot);

  it("enters the kernel in long mode, with boot_params in RSI and interrupts off", () => {
    expect(regs).toMatchObject({ rip: 0x100_0200n, rsi: 0x7000n, rflags: 2n, rbx: 0n, rbp: 0n, rdi: 0n });
    expect(sregs).toMatchObject({ cr0: 0x8005_0033n, cr3: 0x9000n, cr4: 0x20n, efer: 0x500n, cr8: 0n });
    expect(sregs.apic_base).toBe(0xfee0_0900n);
    expect(sregs.gdt).toEqual({ base: 0x6000n, limit: 0x1f });
  });

  it("has the segments that the descriptors describe", () => {
    expect(sregs.cs).toMatchObject({
      selector: 0x10,
      type: 11,
      l: 1,
      db: 0,
      s: 1,
      g: 1,
      present: 1,
      limit: 0xffff_ffff,
    });
    for (const segment of [sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss]) {
      expect(segment).toMatchObject({ selector: 0x18, type: 3, l: 0, db: 1, s: 1, g: 1, present: 1, base: 0n });
    }
    // What the CPU checks on entry: a busy 64-bit TSS, byte granular.
    expect(sregs.tr).toEqual({ ...kvm_segment.zero(), type: 11, present: 1, limit: 0x67 });
    expect(sregs.ldt.unusable).toBe(1);
  });

  it("has no fixed memory types, and memory write-back", () => {
    expect(BOOT_MSRS.find(({ index }) => index === 0x2ff)!.data).toBe(0x806n);
  });
});
