// Dirty page tracking: every mapped page is dirty, bitmaps are written in words of 64 bits, and what is refused.
import { EACCES, EFAULT, EINVAL } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { emulatedGroup, ram, type1Host } from "./type1-fixture.ts";

const PAGE = 4096;
const [START, STOP] = [1, 2];

function tracked() {
  const host = type1Host();
  const memory = ram(host.process, 1);
  memory.bytes.fill(0);
  host.dma.dirty(START);
  return { ...host, bits: memory, words: new BigUint64Array(memory.bytes.buffer) };
}

describe("vfio-core type1 dirty pages", () => {
  it("vfio-core type1 dirty: type 1 refuses before it looks", () => {
    const { dma } = type1Host({ type: 1 });
    expect([START, STOP, 4, 99].map((flags) => dma.dirty(flags))).toEqual([-EACCES, -EACCES, -EACCES, -EACCES]);
  });

  it("vfio-core type1 dirty: exactly one flag", () => {
    const { dma } = type1Host();
    expect([0, 3, 5, 8, 4].map((flags) => dma.dirty(flags))).toEqual(Array(5).fill(-EINVAL));
    expect([STOP, START, START, STOP, STOP].map((flags) => dma.dirty(flags))).toEqual(Array(5).fill(0));
  });

  it("vfio-core type1 dirty: all mapped pages are dirty at every call; words without a mapping stay", () => {
    const { dma, memory, bits, words } = tracked();
    dma.map({ iova: 0x100000, vaddr: memory.address, size: 16 * PAGE });
    dma.map({ iova: 0x120000, vaddr: memory.address, size: 16 * PAGE });
    words.fill(2n ** 64n - 1n);
    const all = { iova: 0x100000, size: 0x80000, data: bits.address, bytes: 16 };
    for (let i = 0; i < 2; i++) {
      expect(dma.bitmap(all)).toBe(0);
      expect(words[0]).toBe(0x0000ffff0000ffffn);
      expect(words[1]).toBe(2n ** 64n - 1n);
    }
    expect(dma.bitmap({ iova: 0x800000, size: 0x40000, data: bits.address + 64 })).toBe(0);
    expect(words[8]).toBe(2n ** 64n - 1n);
  });

  it("vfio-core type1 dirty: a mapping in the middle of a word takes in what the word held", () => {
    const { dma, memory, bits, words } = tracked();
    dma.map({ iova: 0x104000, vaddr: memory.address, size: 2 * PAGE });
    words[0] = 0xf000000000000001n;
    expect(dma.bitmap({ iova: 0x100000, size: 0x10000, data: bits.address })).toBe(0);
    expect(words[0]).toBe(0xf000000000000031n);
  });

  it("vfio-core type1 dirty: a mapping may cross words", () => {
    const { dma, memory, bits, words } = tracked();
    dma.map({ iova: 60 * PAGE, vaddr: memory.address, size: 64 * PAGE });
    expect(dma.bitmap({ iova: 0, size: 128 * PAGE, data: bits.address, bytes: 16 })).toBe(0);
    expect([words[0], words[1]]).toEqual([0xfn << 60n, (1n << 60n) - 1n]);
  });

  it("vfio-core type1 dirty: what a report refuses", () => {
    const { dma, memory, bits } = tracked();
    dma.map({ iova: 0x10000, vaddr: memory.address, size: 4 * PAGE });
    const good = { iova: 0x10000, size: 4 * PAGE, data: bits.address };
    const bad = [
      { bytes: 0 },
      { bytes: 7 },
      { bytes: 0x10000008 },
      { pgsize: 0 },
      { pgsize: 8192 },
      { size: 0 },
      { size: PAGE },
      { iova: 0x11000, size: 3 * PAGE },
      { iova: 0x10800 },
      { data: 2 ** 47 },
      { argsz: 47 },
    ];
    for (const change of bad) expect(dma.bitmap({ ...good, ...change }), JSON.stringify(change)).toBe(-EINVAL);
    expect(dma.bitmap({ ...good, data: 8 })).toBe(-EFAULT);
    expect(dma.bitmap(good)).toBe(0);
    dma.dirty(STOP);
    expect(dma.bitmap(good)).toBe(-EINVAL);
  });

  it("vfio-core type1 dirty: without an IOMMU nothing is known to be written", () => {
    const { dma, memory, bits, words, instance, core, group } = tracked();
    instance.attachGroup(emulatedGroup(5));
    instance.detachGroup(core.groups.get(group.id)!);
    dma.map({ iova: 0, vaddr: memory.address });
    words[0] = 0xffn;
    expect(dma.bitmap({ iova: 0, size: PAGE, data: bits.address })).toBe(0);
    expect(words[0]).toBe(0n);
    expect(dma.map({ iova: 2 ** 40, vaddr: 0, size: 2 ** 31 * PAGE }), "too large to track").toBe(-EINVAL);
    expect(instance.state.mappings.size).toBe(1);
    dma.dirty(STOP);
    expect(dma.map({ iova: 2 ** 40, vaddr: 0, size: 2 ** 31 * PAGE })).toBe(0);
    expect(dma.dirty(START)).toBe(-EINVAL);
  });
});
