// Pinned memory: who pays, what the limit refuses, what stays alive after munmap and exit, device memory, the zero page.
import { EEXIST, EFAULT, EINVAL, ENOMEM } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { EDU } from "./fixture.ts";
import { ram, type1Host } from "./type1-fixture.ts";

const PAGE = 4096;

describe("vfio-core type1 pinning", () => {
  it("vfio-core type1 memlock: the page over the limit decides, unless one before it is missing", () => {
    const { dma, process } = type1Host();
    process.setrlimit("memlock", { soft: 4 * PAGE, hard: Number.POSITIVE_INFINITY });
    const memory = ram(process, 8);
    process.mm.munmap(memory.address + 6 * PAGE, PAGE);
    expect(dma.map({ iova: 0, vaddr: memory.address, size: 5 * PAGE })).toBe(-ENOMEM);
    expect(dma.map({ iova: 0, vaddr: memory.address, size: 8 * PAGE })).toBe(-ENOMEM);
    process.setrlimit("memlock", { soft: 7 * PAGE, hard: Number.POSITIVE_INFINITY });
    expect(dma.map({ iova: 0, vaddr: memory.address, size: 8 * PAGE })).toBe(-EFAULT);
    expect(process.mm.lockedPages).toBe(0);
    expect(dma.map({ iova: 0, vaddr: memory.address, size: 6 * PAGE })).toBe(0);
    expect(dma.map({ iova: 0x100000, vaddr: memory.address, size: 2 * PAGE })).toBe(-ENOMEM);
    expect(dma.map({ iova: 0x100000, vaddr: memory.address, size: PAGE, flags: 1 })).toBe(0);
    expect(dma.unmap(0, 0, 2)).toBe(7 * PAGE);
    expect(process.mm.lockedPages).toBe(0);
  });

  it("vfio-core type1 pin: memory stays for the device after munmap and after its owner's end", () => {
    const { dma, process, core, group, kernel } = type1Host();
    const child = process.fork();
    const memory = ram(child, 1);
    expect(dma.by(child).map({ iova: 0x1000, vaddr: memory.address })).toBe(0);
    expect(child.mm.lockedPages).toBe(1);
    expect(process.mm.lockedPages).toBe(0);
    memory.close();
    child.exit();
    expect(dma.map({ iova: 0x1000, vaddr: memory.address })).toBe(-EEXIST);
    const domain = core.groups.get(group.id)?.iommuGroup.domain;
    const bytes = new Uint8Array(4);
    expect(domain?.read(0, 0x1000, bytes)).toBe(true);
    expect([...bytes]).toEqual([0x11, 0x11, 0x11, 0x11]);
    const physical =
      domain && "translate" in domain ? (domain as { translate: Translate }).translate(0, 0x1000, 1) : -1;
    expect(kernel.physical.resolve(physical, 4)).not.toBeNull();
    expect(dma.unmap(0x1000, PAGE)).toBe(PAGE);
    expect(kernel.physical.resolve(physical, 4)).toBeNull();
  });

  it("vfio-core type1 pin: a new address moves the accounting to whom it belongs", () => {
    const { dma, process } = type1Host();
    const memory = ram(process, 4);
    dma.map({ iova: 0, vaddr: memory.address, size: 4 * PAGE });
    const child = process.fork();
    child.setrlimit("memlock", { soft: PAGE, hard: PAGE });
    expect(dma.unmap(0, 4 * PAGE, 4)).toBe(4 * PAGE);
    expect(dma.by(child).map({ iova: 0, vaddr: memory.address, size: 4 * PAGE, flags: 4 })).toBe(-ENOMEM);
    expect([process.mm.lockedPages, child.mm.lockedPages]).toEqual([4, 0]);
    expect(dma.by(process.fork()).map({ iova: 0, vaddr: memory.address, size: 4 * PAGE, flags: 4 })).toBe(0);
    expect(process.mm.lockedPages).toBe(0);
  });

  it("vfio-core type1 pin: a BAR costs nothing, and cannot be pinned while it does not answer", () => {
    const { dma, process, group } = type1Host();
    const device = group.device(EDU);
    const bar = device.mapRegion(0);
    device.writeConfig(4, 2, 0);
    expect(dma.map({ iova: 0, vaddr: bar.address, size: 0x10000 })).toBe(-EFAULT);
    device.writeConfig(4, 2, 2);
    expect(dma.map({ iova: 0, vaddr: bar.address, size: 0x10000 })).toBe(0);
    expect(process.mm.lockedPages).toBe(0);
  });

  it.each(["6.12", "6.1"] as const)(
    "vfio-core type1 pin: untouched memory mapped for reading on Linux %s",
    (profile) => {
      const { dma, process, core, group } = type1Host({ profile });
      const memory = ram(process, 4);
      memory.bytes.fill(0, PAGE, 3 * PAGE);
      expect(dma.map({ iova: 0, vaddr: memory.address, size: 4 * PAGE, flags: 1 })).toBe(0);
      expect(process.mm.lockedPages).toBe(profile === "6.1" ? 2 : 4);
      memory.bytes.fill(0x22);
      const seen = new Uint8Array(4 * PAGE);
      const domain = core.groups.get(group.id)?.iommuGroup.domain;
      expect(domain?.read(0, 0, seen)).toBe(true);
      const late = profile === "6.1" ? 0 : 0x22;
      expect([0, 1, 2, 3].map((page) => seen[page * PAGE + 7])).toEqual([0x22, late, late, 0x22]);
      expect(domain?.write(0, 0, seen)).toBe(false);
      expect(dma.unmap(0, 4 * PAGE)).toBe(4 * PAGE);
      expect(dma.map({ iova: 0, vaddr: memory.address, size: 4 * PAGE })).toBe(0);
      expect(process.mm.lockedPages).toBe(4);
    },
  );

  it("vfio-core type1 pin: mappings of several areas are one mapping", () => {
    const { dma, process, core, group } = type1Host();
    const memory = ram(process, 8);
    for (const page of [2, 5]) process.mm.mprotect(memory.address + page * PAGE, PAGE, 7);
    expect(dma.map({ iova: 0x40000, vaddr: memory.address, size: 8 * PAGE })).toBe(0);
    expect(dma.unmap(0x42000, PAGE)).toBe(-EINVAL);
    memory.bytes.forEach((_, i) => {
      memory.bytes[i] = i >> 8;
    });
    const seen = new Uint8Array(8 * PAGE - 6);
    expect(core.groups.get(group.id)?.iommuGroup.domain?.read(0, 0x40003, seen)).toBe(true);
    expect(Buffer.compare(seen, memory.bytes.subarray(3, 3 + seen.length))).toBe(0);
  });
});

type Translate = (hi: number, lo: number, permission: number) => number;
