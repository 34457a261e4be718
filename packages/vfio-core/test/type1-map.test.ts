// MAP_DMA: which error comes first, what a failure leaves behind (nothing), limits and widths.
import { EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, PROT_READ } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { ram, type1Host } from "./type1-fixture.ts";

describe("vfio-core type1 MAP_DMA", () => {
  it("vfio-core type1 map: an overlap is seen before the count, the count before the window, that before memory", () => {
    const { dma, memory } = type1Host({ type1: { dmaEntryLimit: 2 } });
    expect(dma.map({ iova: 0x10000, vaddr: memory.address })).toBe(0);
    expect(dma.map({ iova: 0xfee00000, vaddr: 0x1000 })).toBe(-EINVAL);
    expect(dma.map({ iova: 0x20000, vaddr: 0x1000 })).toBe(-EFAULT);
    expect(dma.map({ iova: 0x20000, vaddr: memory.address })).toBe(0);
    expect(dma.map({ iova: 0x30000, vaddr: memory.address })).toBe(-ENOSPC);
    expect(dma.map({ iova: 0xfee00000, vaddr: memory.address })).toBe(-ENOSPC);
    expect(dma.map({ iova: 0x10000, vaddr: 0x1000 })).toBe(-EEXIST);
    expect(dma.map({ iova: 0x30000, vaddr: memory.address, flags: 4 })).toBe(-ENOENT);
    expect(dma.unmap(0x10000, 4096)).toBe(4096);
    expect(dma.map({ iova: 0x30000, vaddr: memory.address })).toBe(0);
  });

  it("vfio-core type1 map: a hole in the memory maps nothing and gives everything back", () => {
    const { dma, process, instance } = type1Host();
    const two = ram(process, 2);
    process.mm.munmap(two.address + 4096, 4096);
    expect(dma.map({ iova: 0, vaddr: two.address, size: 8192 })).toBe(-EFAULT);
    expect(process.mm.lockedPages).toBe(0);
    expect(instance.state.dmaAvail).toBe(65535);
    expect(dma.map({ iova: 0, vaddr: two.address })).toBe(0);
  });

  it("vfio-core type1 map: memory that may only be read is not mapped for writing", () => {
    const { dma, process } = type1Host();
    const fixed = ram(process, 1);
    process.mm.mprotect(fixed.address, 4096, PROT_READ);
    expect(dma.map({ iova: 0, vaddr: fixed.address })).toBe(-EFAULT);
    expect(dma.map({ iova: 0, vaddr: fixed.address, flags: 2 })).toBe(-EFAULT);
    expect(dma.map({ iova: 0, vaddr: fixed.address, flags: 1 })).toBe(0);
  });

  it.each([
    [39, 0x7ffffff000n],
    [48, 0xfffffffff000n],
    [57, 0x1fffffffffff000n],
  ])("vfio-core type1 map: an IOMMU of %i bits takes its last page and no more", (addressWidth, last) => {
    const { dma, memory } = type1Host({ type1: { addressWidth } });
    expect(dma.map({ iova: last + 4096n, vaddr: memory.address })).toBe(-EINVAL);
    expect(dma.map({ iova: last, vaddr: memory.address, size: 8192 })).toBe(-EINVAL);
    expect(dma.map({ iova: last, vaddr: memory.address })).toBe(0);
    expect(dma.map({ iova: last, vaddr: memory.address })).toBe(-EEXIST);
    expect(dma.unmap(last, 4096)).toBe(4096);
  });

  it("vfio-core type1 map: the smallest page of the IOMMU is the unit", () => {
    const { dma, memory } = type1Host({ type1: { pageSizes: [0x10000, 0x200000] } });
    expect(dma.map({ iova: 0, vaddr: memory.address, size: 4096 })).toBe(-EINVAL);
    expect(dma.map({ iova: 0x1000, vaddr: memory.address, size: 0x10000 })).toBe(-EINVAL);
    const aligned = Math.ceil(memory.address / 0x10000) * 0x10000;
    const physical = aligned - memory.address;
    // Aligned user memory need not be aligned physically; then the IOMMU cannot map it.
    expect(dma.map({ iova: 0, vaddr: aligned, size: 0x10000 })).toBe(physical % 0x10000 === 0 ? 0 : -EINVAL);
  });

  it("vfio-core type1 map: reserved regions are cut out, relaxable ones are not", () => {
    const reservedRegions = [
      { start: 0x100000n, end: 0x1fffffn, type: "direct" as const },
      { start: 0x300000n, end: 0x3fffffn, type: "direct-relaxable" as const },
    ];
    const { dma, memory } = type1Host({ type1: { reservedRegions, msiWindow: null } });
    expect(dma.map({ iova: 0x1ff000, vaddr: memory.address })).toBe(-EINVAL);
    expect(dma.map({ iova: 0x200000, vaddr: memory.address })).toBe(0);
    expect(dma.map({ iova: 0x300000, vaddr: memory.address })).toBe(0);
    expect(dma.map({ iova: 0xfee00000, vaddr: memory.address })).toBe(0);
  });

  it("vfio-core type1 map: the struct may lie anywhere in memory, also read-only", () => {
    const { process, container, memory } = type1Host();
    const at = ram(process, 1);
    const view = new DataView(at.bytes.buffer);
    for (const [i, word] of [32, 3, 0, 0, 0, 0, 4096, 0].entries()) view.setUint32(i * 4, word, true);
    view.setBigUint64(8, BigInt(memory.address), true);
    process.mm.mprotect(at.address, 4096, PROT_READ);
    const map = 0x3b71;
    expect(process.ioctl(container.fd, map, BigInt(at.address))).toBe(0);
    expect(process.ioctl(container.fd, map, BigInt(at.address - 16))).toBe(-EFAULT);
    view.setUint32(0, 24, true);
    view.setUint32(4, 0, true);
    view.setBigUint64(8, 0n, true);
    view.setBigUint64(16, 4096n, true);
    // Unmapping cannot report its size into memory that may only be read; the mapping is gone all the same.
    expect(process.ioctl(container.fd, 0x3b72, BigInt(at.address))).toBe(-EFAULT);
    expect(process.mm.lockedPages).toBe(0);
  });
});
