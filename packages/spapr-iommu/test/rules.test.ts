import { EBUSY, EFAULT, EINVAL, ENOMEM, ENOSPC, ENOTTY, EPERM } from "@minivmm/host";
import { VFIO_EEH, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { SpaprContainer, spaprIoctls, vfio_iommu_spapr_register_memory } from "../src/index.ts";
import { attachedContainer, type RigOptions, rig } from "./rig.ts";

const KB = 1024;
const PAGE = 65536;
const READ_WRITE = 3;

function v1(options: RigOptions = {}) {
  const made = attachedContainer("v1", options);
  return {
    ...made,
    spapr: new SpaprContainer(made.container),
    lockedKb: () => (made.process.mm.lockedPages * made.kernel.pageSize) / KB,
  };
}

function v2(options: RigOptions & { groups?: number } = {}) {
  const made = attachedContainer("v2", options);
  const memory = new Uint8Array(16 * PAGE);
  const address = Number(made.process.addressOf(memory));
  const map = (spapr: SpaprContainer, iova: number, from = 0, size = PAGE) =>
    spapr.mapDma(
      Math.floor(iova / 2 ** 32),
      iova % 2 ** 32,
      Math.floor((address + from) / 2 ** 32),
      (address + from) % 2 ** 32,
      size,
      READ_WRITE,
    );
  const lockedKb = () => (made.process.mm.lockedPages * made.kernel.pageSize) / KB;
  return { ...made, spapr: new SpaprContainer(made.container), memory, address, map, lockedKb };
}

const codeOf = (act: () => unknown): number => {
  try {
    act();
    return 0;
  } catch (error) {
    return -((error as { errno?: number }).errno ?? 999);
  }
};

describe("spapr-iommu v1", () => {
  it("charges the window when enabled, once, and gives it back when disabled", () => {
    const { spapr, lockedKb } = v1();
    spapr.enable();
    expect(lockedKb()).toBe(2 * 1024 * KB);
    expect(codeOf(() => spapr.enable())).toBe(-EBUSY);
    spapr.disable();
    expect(lockedKb()).toBe(0);
    spapr.disable();
  });

  it("needs the limit on locked memory for the whole window", () => {
    const { spapr, lockedKb } = v1({ spawn: { memlock: 2 ** 31 - PAGE } });
    expect(() => spapr.enable()).toThrow(
      /needs 2147483648 bytes \(2048 MiB\) of locked memory, and the limit is 2147418112 bytes \(2047\.9 MiB\)/,
    );
    expect(lockedKb()).toBe(0);
  });

  it("maps a page only once it is enabled, and refuses memory that is not there", () => {
    const { spapr, process } = v1();
    const address = Number(process.addressOf(new Uint8Array(PAGE)));
    const map = (at: number) => spapr.mapDma(0, 0, Math.floor(at / 2 ** 32), at % 2 ** 32, PAGE, READ_WRITE);
    expect(map(address)).toBe(-EPERM);
    spapr.enable();
    expect(map(address)).toBe(0);
    expect(map(0x10000)).toBe(-EFAULT);
    expect(spapr.unmapDma(0, 0x800, 0x1000)).toBe(1);
  });

  it("has no calls of v2", () => {
    const { spapr } = v1();
    expect(codeOf(() => spapr.registerMemory(new Uint8Array(PAGE)))).toBe(-ENOTTY);
    expect(codeOf(() => spapr.createWindow({ pageShift: 12, windowSize: 1n << 30n }))).toBe(-ENOTTY);
  });

  it("is the only version of a 3.11 kernel", () => {
    const { process } = rig({ profile: "3.11" });
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, 0);
    group.setContainer(container);
    expect(container.checkExtension(VFIO_SPAPR_TCE_v2_IOMMU)).toBe(0);
    expect(container.checkExtension(VFIO_EEH)).toBe(0);
    container.setIommu(VFIO_SPAPR_TCE_IOMMU);
    const spapr = new SpaprContainer(container);
    expect(spapr.info().dma32WindowSize).toBe(2 ** 31);
    spapr.enable();
    const address = Number(process.addressOf(new Uint8Array(PAGE)));
    expect(spapr.mapDma(0, 0, Math.floor(address / 2 ** 32), address % 2 ** 32, 4096, READ_WRITE)).toBe(0);
    expect(spapr.mapDma(0, 0x800, Math.floor(address / 2 ** 32), address % 2 ** 32, 4096, READ_WRITE)).toBe(-EINVAL);
    expect(codeOf(() => VfioGroup.open(process, 1).setContainer(container))).toBe(-EBUSY);
  });

  it("cannot be used on bare metal where ownership is a pair of callbacks", () => {
    const { process } = rig({ profile: "6.1" });
    const container = VfioContainer.open(process);
    VfioGroup.open(process, 0).setContainer(container);
    expect(codeOf(() => container.setIommu(VFIO_SPAPR_TCE_IOMMU))).toBe(-EPERM);
    container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
  });
});

describe("spapr-iommu v2", () => {
  it("registers, maps, and counts everything back", () => {
    const { spapr, memory, map, lockedKb, groups } = v2();
    expect(map(spapr, 0)).toBe(-EPERM);
    spapr.registerMemory(memory);
    expect(lockedKb()).toBe(1024);
    expect(map(spapr, 0)).toBe(0);
    expect(lockedKb()).toBe(1024 + 8192);
    expect(map(spapr, 0x800)).toBe(1);
    expect(map(spapr, 2 ** 31)).toBe(-6);
    expect(spapr.unmapDma(0, 0, PAGE)).toBe(0);
    spapr.unregisterMemory(memory);
    expect(lockedKb()).toBe(8192);
    groups[0]?.unsetContainer();
    expect(lockedKb()).toBe(0);
  });

  it("forgets a mapped region but keeps it pinned; 4.12 refuses instead", () => {
    const now = v2();
    now.spapr.registerMemory(now.memory);
    now.map(now.spapr, 0);
    now.spapr.unregisterMemory(now.memory);
    expect(codeOf(() => now.spapr.unregisterMemory(now.memory))).toBe(-2);
    expect(now.lockedKb()).toBe(1024 + 8192);

    const then = v2({ profile: "4.12" });
    then.spapr.registerMemory(then.memory);
    then.map(then.spapr, 0);
    expect(then.lockedKb()).toBe(1024 + 4096 + 4096);
    expect(codeOf(() => then.spapr.unregisterMemory(then.memory))).toBe(-EBUSY);
  });

  it("reports a hole by the pages before it; 4.12 by EFAULT", () => {
    for (const [profile, expected] of [
      ["6.12", 2],
      ["4.12", -EFAULT],
    ] as const) {
      const { process, container, address } = v2({ profile });
      process.mm.munmap(address + 2 * PAGE, PAGE);
      const arg = vfio_iommu_spapr_register_memory.encode({
        argsz: 24,
        vaddr: BigInt(address),
        size: BigInt(4 * PAGE),
      });
      const request = spaprIoctls("ppc64le").VFIO_IOMMU_SPAPR_REGISTER_MEMORY;
      expect(process.ioctl(container.fd, request, arg)).toBe(expected);
      expect(process.mm.lockedPages).toBe(0);
    }
  });

  it("makes windows in slots: the second at 2^59, a third not at all", () => {
    const { spapr, lockedKb } = v2();
    const request = { pageShift: 16, windowSize: 1n << 30n };
    expect(spapr.createWindow(request)).toBe(1n << 59n);
    expect(codeOf(() => spapr.createWindow(request))).toBe(-ENOSPC);
    spapr.removeWindow(0x123456n);
    expect(spapr.createWindow(request)).toBe(0n);
    expect(lockedKb()).toBe(512);
  });

  it("leaves the charge of an impossible window behind", () => {
    const { spapr, lockedKb, groups } = v2();
    spapr.removeWindow(0n);
    expect(codeOf(() => spapr.createWindow({ pageShift: 12, windowSize: 1n << 34n }))).toBe(-ENOMEM);
    expect(lockedKb()).toBe(65536);
    groups[0]?.unsetContainer();
    expect(lockedKb()).toBe(65536);
  });

  it("shares windows among groups on bare metal, and among none on pseries", () => {
    const metal = v2({ groups: 2 });
    metal.spapr.registerMemory(metal.memory);
    expect(metal.map(metal.spapr, 0)).toBe(0);
    const tables = metal.functions.map((fn) => metal.driver.tableGroupOf(fn.group as never).tables[0]);
    expect(tables[0]).toBe(tables[1]);
    metal.groups[0]?.unsetContainer();
    expect(tables[1]?.live).toBe(0);
    expect(metal.driver.tableGroupOf(metal.functions[1]?.group as never).tables[0]).toBe(tables[1]);

    const guest = v2({ groups: 2, platform: "pseries" });
    guest.spapr.registerMemory(guest.memory);
    expect(guest.map(guest.spapr, 0)).toBe(-EPERM);
    expect(guest.lockedKb()).toBe(1024);
  });

  it("belongs to the process that used it first", () => {
    const { kernel, process, container, spapr, memory } = v2();
    spapr.registerMemory(memory);
    const other = kernel.spawn();
    const file = process.fileOf(container.fd);
    const fd = other.install(file?.get() as never);
    const foreign = new SpaprContainer(VfioContainer.open(other, fd));
    expect(foreign.unmapDma(0, 0, PAGE)).toBe(-EPERM);
    expect(() => foreign.info()).toThrow(/another process/);
    expect(foreign.container.checkExtension(VFIO_SPAPR_TCE_v2_IOMMU)).toBe(1);
  });

  it("drops what lies behind the window's end when a mapping runs over it", () => {
    const { spapr, memory, map } = v2();
    spapr.registerMemory(memory);
    expect(map(spapr, 2 ** 31 - PAGE, 0, 4 * PAGE)).toBe(0);
    expect(spapr.unmapDma(0, 2 ** 31 - PAGE, 4 * PAGE)).toBe(1);
    expect(spapr.unmapDma(0, 2 ** 31 - PAGE, PAGE)).toBe(0);
  });
});
