// Groups of a type1 container: the order of refusals, domains by coherency, and what happens to mappings as groups come
// and go, mediated ones included.
import { EBUSY, EINVAL, EIO, ENODEV, ENOMEM, EPERM } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { iommuGroupOf, VfioContainer, VfioGroup, vfioIoctls } from "../src/index.ts";
import type { IommuUnit, Type1IommuOptions } from "../src/model/index.ts";
import { EDU, NVME, PASSIVE } from "./fixture.ts";
import { emulatedGroup, ram, type1Host, type1Parts } from "./type1-fixture.ts";

const PAGE = 4096;
type Host = ReturnType<typeof type1Host>;

/** Hardware of the NVMe's group; all others have the defaults. */
function nvmeUnit(unit: Partial<IommuUnit> | null): Type1IommuOptions {
  return { unitOf: (group) => (group.functions.some((fn) => fn.name === NVME) ? unit : {}) };
}

/** SET_CONTAINER of another group, raw. */
function join({ process, container }: Host, bdf: string) {
  const group = VfioGroup.open(process, iommuGroupOf(process, bdf));
  const arg = new Uint8Array(new Int32Array([container.fd]).buffer);
  return { group, result: process.ioctl(group.fd, vfioIoctls(process.arch).VFIO_GROUP_SET_CONTAINER, arg) };
}

function setIommu(options: Type1IommuOptions, type: number, profile: "6.12" | "6.1" = "6.12"): number {
  const { process } = type1Parts({ type1: options, profile });
  const container = VfioContainer.open(process);
  VfioGroup.open(process, iommuGroupOf(process, NVME)).setContainer(container);
  return process.ioctl(container.fd, vfioIoctls(process.arch).VFIO_SET_IOMMU, type);
}

describe("vfio-core type1 SET_IOMMU", () => {
  it("vfio-core type1 types: 1 and 3, and 6 where hardware can nest", () => {
    expect([0, 1, 2, 3, 6, 8, 9, 10, 99].map((type) => setIommu({}, type))).toEqual([
      -ENODEV,
      0,
      -ENODEV,
      0,
      -EINVAL,
      -ENODEV,
      -EINVAL,
      -ENODEV,
      -ENODEV,
    ]);
    expect(setIommu({ nesting: true }, 6)).toBe(0);
  });

  it("vfio-core type1 types: hardware that is missing, refuses, or does not isolate interrupts", () => {
    expect(setIommu(nvmeUnit(null), 3)).toBe(-ENODEV);
    expect(setIommu(nvmeUnit(null), 3, "6.1")).toBe(-EIO);
    expect(setIommu(nvmeUnit({ attachErrno: EBUSY, isolatedMsi: false }), 3)).toBe(-EBUSY);
    expect(setIommu({ interruptRemapping: false }, 3)).toBe(-EPERM);
    expect(setIommu({ interruptRemapping: false, allowUnsafeInterrupts: true }, 1)).toBe(0);
    const everything = { start: 0n, end: 2n ** 48n - 1n, type: "reserved" as const };
    expect(setIommu({ ...nvmeUnit({ reserved: [everything], isolatedMsi: false }) }, 3)).toBe(-EINVAL);
  });

  it("vfio-core type1 parameters: files of the module", () => {
    const { kernel, driver, process } = type1Parts();
    const folder = "/sys/module/vfio_iommu_type1/parameters";
    expect(process.writeFile(`${folder}/allow_unsafe_interrupts`, "Y\n")).toBeGreaterThan(0);
    expect(driver.parameters.allowUnsafeInterrupts).toBe(true);
    expect(process.writeFile(`${folder}/allow_unsafe_interrupts`, "maybe")).toBe(-EINVAL);
    expect(process.writeFile(`${folder}/dma_entry_limit`, "0x10")).toBeGreaterThan(0);
    expect(process.writeFile(`${folder}/dma_entry_limit`, "-1")).toBe(-EINVAL);
    expect(Buffer.from(kernel.sysfs.readFile(`${folder}/dma_entry_limit`) as Uint8Array).toString()).toBe("16\n");
  });

  it("vfio-core type1 options: hardware that cannot be is an error at once", () => {
    expect(() => type1Parts({ type1: { addressWidth: 20 } })).toThrow(/20 address bits/);
    expect(() => type1Parts({ type1: { pageSizes: [1000] } })).toThrow(/no page size/);
    expect(() => type1Parts({ type1: { pageSizes: [] } })).toThrow(/needs a page size/);
    const odd = { start: 1n, end: 4095n, type: "reserved" as const };
    expect(() => type1Parts({ type1: { reservedRegions: [odd] } })).toThrow(/whole pages/);
  });
});

describe("vfio-core type1 groups", () => {
  it("vfio-core type1 groups: a second one changes nothing of what is mapped", () => {
    const host = type1Host();
    const { dma, memory, process, group } = host;
    dma.map({ iova: 0x1000, vaddr: memory.address, size: 4 * PAGE });
    const second = join(host, NVME);
    expect(second.result).toBe(0);
    expect(process.mm.lockedPages).toBe(4);
    expect(host.instance.domains.count).toBe(1);
    expect(host.core.groups.get(second.group.id)?.iommuGroup.domain).toBe(host.instance.state.table);
    group.unsetContainer();
    expect(host.core.groups.get(group.id)?.iommuGroup.domain).toBeNull();
    expect(dma.unmap(0x1000, 4 * PAGE)).toBe(4 * PAGE);
  });

  it("vfio-core type1 groups: the last one takes all mappings", () => {
    const { dma, memory, process, group, instance } = type1Host();
    for (let i = 0; i < 700; i++) dma.map({ iova: i * PAGE, vaddr: memory.address });
    group.unsetContainer();
    expect(process.mm.lockedPages).toBe(0);
    expect(instance.state.dmaAvail).toBe(65535);
    expect(dma.unmap(0, 0, 2)).toBe(-EINVAL);
  });

  it("vfio-core type1 groups: none joins while a user address is missing", () => {
    const host = type1Host();
    host.dma.map({ iova: 0, vaddr: host.memory.address });
    host.dma.unmap(0, PAGE, 4);
    const { group, result } = join(host, NVME);
    expect(result).toBe(-EBUSY);
    expect(group.status().containerSet).toBe(false);
  });

  it("vfio-core type1 groups: none joins whose hardware cannot take the mappings", () => {
    const narrow = type1Host({ type1: nvmeUnit({ addressWidth: 39 }) });
    narrow.dma.map({ iova: 2 ** 40, vaddr: narrow.memory.address });
    expect(join(narrow, NVME).result).toBe(-EINVAL);

    const region = { start: 0x10000n, end: 0x1ffffn, type: "direct" as const };
    const reserved = type1Host({ type1: nvmeUnit({ reserved: [region] }) });
    reserved.dma.map({ iova: 0x1f000, vaddr: reserved.memory.address });
    expect(join(reserved, NVME).result).toBe(-EINVAL);
    expect(reserved.instance.state.windows.list[0]?.start).toBe(0);

    const coarse = type1Host({ type1: nvmeUnit({ pageSizes: [0x10000], snoopControl: false }) });
    coarse.dma.map({ iova: 0x1000, vaddr: coarse.memory.address });
    expect(join(coarse, NVME).result).toBe(-EINVAL);
    expect(coarse.process.mm.lockedPages).toBe(1);
  });

  it("vfio-core type1 groups: windows shrink and grow with narrow hardware", () => {
    const host = type1Host({ type1: nvmeUnit({ addressWidth: 39, snoopControl: false }) });
    const end = () => host.instance.state.windows.list.at(-1)?.end;
    expect(end()).toBe(2 ** 36);
    const { group, result } = join(host, NVME);
    expect(result).toBe(0);
    expect(end()).toBe(2 ** 27);
    expect(host.dma.map({ iova: 2 ** 40, vaddr: host.memory.address })).toBe(-EINVAL);
    group.unsetContainer();
    expect(end()).toBe(2 ** 36);
    expect(host.dma.map({ iova: 2 ** 40, vaddr: host.memory.address })).toBe(0);
  });

  it("vfio-core type1 coherency: one domain for each answer, and all of them count", () => {
    const host = type1Host({ type1: nvmeUnit({ snoopControl: false }) });
    expect(host.container.checkExtension(4)).toBe(1);
    const { group } = join(host, NVME);
    expect(host.instance.domains.count).toBe(2);
    expect(host.container.checkExtension(4)).toBe(0);
    expect(join(host, PASSIVE).result).toBe(0);
    expect(host.instance.domains.count).toBe(2);
    group.unsetContainer();
    expect(host.instance.domains.count).toBe(1);
    expect(host.container.checkExtension(4)).toBe(1);
  });
});

describe("vfio-core type1 mediated groups", () => {
  it("vfio-core type1 emulated: nothing is pinned until a group with an IOMMU joins, and then all or nothing", () => {
    const host = type1Host();
    const { dma, instance, core, process, group } = host;
    const hardware = core.groups.get(group.id)!;
    instance.attachGroup(emulatedGroup(77));
    instance.detachGroup(hardware);
    expect(dma.map({ iova: 0, vaddr: 0x1000 })).toBe(0);
    expect(dma.map({ iova: 0x1000, vaddr: host.memory.address, size: 8 * PAGE })).toBe(0);
    expect(process.mm.lockedPages).toBe(0);
    expect(instance.state.table.read(0, 0x1000, new Uint8Array(1))).toBe(false);

    expect(() => instance.attachGroup(hardware)).toThrow();
    expect([process.mm.lockedPages, instance.domains.count]).toEqual([0, 0]);
    expect(dma.unmap(0, PAGE)).toBe(PAGE);
    process.setrlimit("memlock", { soft: 7 * PAGE, hard: Number.POSITIVE_INFINITY });
    expect(errnoOf(() => instance.attachGroup(hardware))).toBe(ENOMEM);
    process.setrlimit("memlock", { soft: 8 * PAGE, hard: Number.POSITIVE_INFINITY });
    instance.attachGroup(hardware);
    expect(process.mm.lockedPages).toBe(8);
    expect(instance.state.table.read(0, 0x1000, new Uint8Array(1))).toBe(true);
  });

  it("vfio-core type1 emulated: mappings survive the last IOMMU, without their pages", () => {
    const { dma, instance, core, process, group, memory } = type1Host();
    const hardware = core.groups.get(group.id)!;
    const mediated = emulatedGroup(77);
    instance.attachGroup(mediated);
    dma.map({ iova: 0, vaddr: memory.address, size: 8 * PAGE });
    instance.detachGroup(hardware);
    expect([process.mm.lockedPages, instance.state.mappings.size]).toEqual([0, 1]);
    expect(instance.checkExtension(4)).toBe(1);
    instance.detachGroup(mediated);
    expect(instance.state.mappings.size).toBe(0);
  });

  it("vfio-core type1 emulated: attached twice is refused", () => {
    const { instance, core, group } = type1Host();
    const mediated = emulatedGroup(77);
    instance.attachGroup(mediated);
    expect(errnoOf(() => instance.attachGroup(mediated))).toBe(EINVAL);
    expect(errnoOf(() => instance.attachGroup(core.groups.get(group.id)!))).toBe(EINVAL);
  });
});

describe("vfio-core type1 without groups", () => {
  it("vfio-core type1 groups: the device of a group that left reaches no memory", () => {
    const { dma, memory, group, topology } = type1Host();
    dma.map({ iova: 0, vaddr: memory.address });
    const fn = topology.get(EDU);
    fn.writeConfig(4, 2, 6);
    expect(fn.device.dma.read(0, 0, new Uint8Array(4))).toBe(true);
    group.unsetContainer();
    expect(fn.device.dma.read(0, 0, new Uint8Array(4))).toBe(false);
  });

  it("vfio-core type1 groups: two processes, one container, each pays its own", () => {
    const { dma, process, memory } = type1Host();
    const child = process.fork();
    const own = ram(child, 2);
    dma.map({ iova: 0, vaddr: memory.address });
    expect(dma.by(child).map({ iova: 0x10000, vaddr: own.address, size: 2 * PAGE })).toBe(0);
    expect([process.mm.lockedPages, child.mm.lockedPages]).toEqual([1, 2]);
    expect(dma.unmap(0, 0, 2)).toBe(3 * PAGE);
    expect([process.mm.lockedPages, child.mm.lockedPages]).toEqual([0, 0]);
  });
});

function errnoOf(act: () => void): number {
  try {
    act();
  } catch (error) {
    return (error as { errno: number }).errno;
  }
  return 0;
}
