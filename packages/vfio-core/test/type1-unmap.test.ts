// UNMAP_DMA: whole mappings or nothing, the forgiving version 1, ranges that end at 2^64, and addresses given up.
import { EBUSY, EINVAL } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { VFIO_TYPE1_IOMMU } from "../src/index.ts";
import { emulatedGroup, type1Host } from "./type1-fixture.ts";

const PAGE = 4096;

describe.each([1, 3])("vfio-core type1 UNMAP_DMA of type %i", (type) => {
  it("vfio-core type1 unmap: sums whole mappings and leaves holes alone", () => {
    const { dma, memory } = type1Host({ type });
    dma.map({ iova: 0x10000, vaddr: memory.address, size: 4 * PAGE });
    dma.map({ iova: 0x20000, vaddr: memory.address, size: 2 * PAGE });
    expect(dma.unmap(0x14000, 0x1000)).toBe(0);
    expect(dma.unmap(0, 0x100000)).toBe(6 * PAGE);
    expect(dma.unmap(0, 0x100000)).toBe(0);
  });

  it("vfio-core type1 unmap: a range that cuts a mapping", () => {
    const { dma, memory, process } = type1Host({ type });
    dma.map({ iova: 0x10000, vaddr: memory.address, size: 4 * PAGE });
    dma.map({ iova: 0x14000, vaddr: memory.address, size: 2 * PAGE });
    const v1 = type === VFIO_TYPE1_IOMMU;
    expect(dma.unmap(0x11000, PAGE), "middle").toBe(v1 ? 0 : -EINVAL);
    expect(dma.unmap(0x12000, 4 * PAGE), "tail and the next one").toBe(v1 ? 0 : -EINVAL);
    expect(process.mm.lockedPages).toBe(6);
    expect(dma.unmap(0x10000, PAGE), "head").toBe(v1 ? 4 * PAGE : -EINVAL);
    expect(process.mm.lockedPages).toBe(v1 ? 2 : 6);
  });

  it("vfio-core type1 unmap: a range up to 2^64 finds nothing, one page less finds all", () => {
    const { dma, memory } = type1Host({ type });
    dma.map({ iova: 0x10000, vaddr: memory.address });
    expect(dma.unmap(PAGE, 2n ** 64n - 4096n)).toBe(0);
    expect(dma.unmap(PAGE, 2n ** 64n - 8192n)).toBe(PAGE);
  });

  it("vfio-core type1 unmap: ALL takes no range", () => {
    const { dma, memory } = type1Host({ type });
    for (let i = 0; i < 1500; i++) dma.map({ iova: 0x10000 + i * 2 * PAGE, vaddr: memory.address });
    expect(dma.unmap(0, PAGE, 2)).toBe(-EINVAL);
    expect(dma.unmap(PAGE, 0, 2)).toBe(-EINVAL);
    expect(dma.unmap(0, 0, 2)).toBe(1500 * PAGE);
  });
});

describe("vfio-core type1 user addresses", () => {
  it("vfio-core type1 vaddr: given up and named again, all or none of a range", () => {
    const { dma, memory, instance } = type1Host();
    dma.map({ iova: 0x10000, vaddr: memory.address });
    dma.map({ iova: 0x11000, vaddr: memory.address });
    expect(dma.unmap(0x11000, PAGE, 4)).toBe(PAGE);
    expect(dma.unmap(0x10000, 2 * PAGE, 4)).toBe(-EINVAL);
    expect(instance.state.vaddrInvalid).toBe(1);
    expect(dma.map({ iova: 0x10000, vaddr: memory.address, flags: 4 })).toBe(-EINVAL);
    expect(dma.map({ iova: 0x11000, vaddr: memory.address, size: 2 * PAGE, flags: 4 })).toBe(-EINVAL);
    expect(dma.map({ iova: 0x11000, vaddr: 0x5000, flags: 4 })).toBe(0);
    expect(dma.unmap(0, 0, 6)).toBe(2 * PAGE);
    expect(dma.unmap(0, 0, 2)).toBe(2 * PAGE);
    expect(instance.state.vaddrInvalid).toBe(0);
  });

  it("vfio-core type1 vaddr: refused while a mediated device may use the memory", () => {
    const { dma, memory, instance, container } = type1Host();
    dma.map({ iova: 0x10000, vaddr: memory.address });
    instance.attachGroup(emulatedGroup(99));
    expect(dma.unmap(0x10000, PAGE, 4)).toBe(-EBUSY);
    expect(container.checkExtension(10)).toBe(0);
  });
});
