// The client of iommufd and device nodes: what it does, and what it says when the kernel refuses.
import { MinivmmError, O_RDWR } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { Iommufd, iommu_hw_info_vtd, iommuGroupOf, VfioCdev, VfioError, VfioGroup } from "../src/index.ts";
import { BRIDGED, BRIDGED_FREE, BRIDGED_HOST, EDU, NVME, testHost } from "./fixture.ts";
import { iommufdHost } from "./iommufd-fixture.ts";

const PAGE = 4096;
const bytes = (pages: number) => new Uint8Array(new SharedArrayBuffer(pages * PAGE));

function errorOf(call: () => unknown): VfioError {
  try {
    call();
  } catch (error) {
    if (error instanceof VfioError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** `code`: and the message and hint are there. */
function expectCode(call: () => unknown, code: string, message: RegExp = /./): void {
  const error = errorOf(call);
  expect(error).toBeInstanceOf(MinivmmError);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  if (code !== "REFUSED") expect(error.hint ?? "").not.toBe("");
}

function bound(options: Parameters<typeof iommufdHost>[0] = {}) {
  const host = iommufdHost(options);
  const iommufd = Iommufd.open(host.process);
  const device = VfioCdev.open(host.process, EDU);
  device.bind(iommufd);
  return { ...host, iommufd, device };
}

describe("vfio-core iommufd client", () => {
  it("opens, binds, attaches, maps, copies and gives back", () => {
    const { iommufd, device, process } = bound();
    expect(device.deviceId).toBe(1);
    const space = iommufd.allocIoas();
    const table = device.attach(space);
    expect(device.attach(space.id)).toBe(table);
    const memory = bytes(256);
    const iova = space.map({ memory });
    expect(iova).toBe(0x10_0000n);
    const other = iommufd.allocIoas();
    expect(other.copy({ from: space, source: { iova: iova + 4096n, size: 8192n }, iova: 0x5000n, write: false })).toBe(
      0x5000n,
    );
    expect(device.info()).toMatchObject({ regions: 9 });
    expect(space.ranges()).toMatchObject({ alignment: PAGE, ranges: [{ start: 0n }, { end: 2n ** 48n - 1n }] });
    other.allow([{ start: 0x1000n, end: 0x1fffn }]);
    expect(other.map({ memory: { address: process.addressOf(memory), size: 4096 } })).toBe(0x1000n);
    expect(other.unmapAll()).toBe(3n * 4096n);
    expect(space.unmap({ iova, size: 1n << 20n })).toBe(1n << 20n);
    device.detach();
    space.close();
    space.close();
    other.close();
    device.close();
    iommufd.close();
    expect(process.fileOf(iommufd.fd)).toBeUndefined();
  });

  it("disposes in any order and leaves nothing", () => {
    const { process, core } = iommufdHost();
    {
      using iommufd = Iommufd.open(process);
      using device = VfioCdev.open(process, EDU);
      device.bind(iommufd);
      using space = iommufd.allocIoas();
      device.attach(space);
      space.map({ memory: bytes(1) });
    }
    expect(process.mm.pinnedPages).toBe(0);
    expect(core.device(EDU)).toMatchObject({ openCount: 0, nodeFiles: 0 });
  });

  it("leaves descriptors that were handed in open", () => {
    const { process, fd } = iommufdHost();
    const node = process.open("/dev/vfio/devices/vfio0", O_RDWR);
    const iommufd = Iommufd.open(process, fd);
    const device = VfioCdev.wrap(process, node, "the edu");
    expect(device.bind(iommufd)).toBe(1);
    device.close();
    iommufd.close();
    expect(process.fileOf(node)).toBeDefined();
    expect(process.fileOf(fd)).toBeDefined();
  });

  it("hardware: registers, dirty pages, who pays, VFIO's space", () => {
    const { iommufd, device, topology, process } = bound({ iommufd: { dirtyTracking: true, addressWidth: 39 } });
    const info = iommufd.hwInfo(1);
    expect(info).toMatchObject({ type: 1, dirtyTracking: true });
    expect((iommu_hw_info_vtd.decode(info.data).cap_reg >> 16n) & 0x3fn).toBe(38n);
    const space = iommufd.allocIoas();
    const table = iommufd.allocHwpt({ device: 1, ioas: space, dirtyTracking: true });
    device.attach(table);
    space.map({ memory: bytes(16), iova: 0x10_0000n });
    table.trackDirtyPages(true);
    topology.get(EDU).group?.domain?.write(0, 0x10_3000, new Uint8Array(4));
    const range = { iova: 0x10_0000n, size: 16n * 4096n };
    expect([...table.dirtyPages({ ...range, keep: true })]).toEqual([8, 0, 0, 0, 0, 0, 0, 0]);
    expect(table.dirtyPages(range)[0]).toBe(8);
    expect(table.dirtyPages(range)[0]).toBe(0);
    table.trackDirtyPages(false);
    expectCode(() => table.close(), "IN_USE");
    device.detach();
    table.close();
    expect(iommufd.compatIoas()).toBeNull();
    iommufd.setCompatIoas(space);
    expect(iommufd.compatIoas()?.id).toBe(space.id);
    iommufd.setCompatIoas(null);
    expect(iommufd.accounting()).toBe("user");
    expectCode(() => iommufd.setAccounting("address-space"), "REFUSED");
    expect(process.mm.areas.length).toBeLessThan(8);
  });
});

describe("vfio-core iommufd client: refusals", () => {
  it("no iommufd, no node, no rights", () => {
    const debian = testHost().process;
    expectCode(() => Iommufd.open(debian), "NO_IOMMUFD_NODE", /no iommufd/);
    expectCode(() => VfioCdev.open(debian, EDU), "NO_DEVICE_NODE", /no device node/);
    expectCode(() => VfioCdev.open(debian, "0000:99:00.0"), "NO_DEVICE");
    expectCode(() => VfioCdev.open(debian, BRIDGED_FREE), "NOT_BOUND");
    const user = iommufdHost().kernel.spawn({ root: false });
    expectCode(() => VfioCdev.open(user, EDU), "PERMISSION", /vfio0: owner root, group root, mode 0600/);
  });

  it("binding: in use, the group's node, a host driver, another iommufd, no iommufd", () => {
    const { process, iommufd, device, core } = bound();
    expectCode(() => device.bind(iommufd), "DEVICE_BUSY");
    expectCode(() => VfioCdev.open(process, EDU).bind(iommufd), "DEVICE_BUSY");
    const group = VfioGroup.open(process, iommuGroupOf(process, NVME));
    expectCode(() => VfioCdev.open(process, NVME).bind(iommufd), "GROUP_BUSY", /this process has \/dev\/vfio\/4 open/);
    group.close();
    core.bind(BRIDGED_HOST, "e1000");
    expectCode(
      () => VfioCdev.open(process, BRIDGED).bind(iommufd),
      "GROUP_NOT_VIABLE",
      /0000:04:03.0 is bound to e1000/,
    );
    core.unbind(BRIDGED_HOST);
    core.bind(BRIDGED_FREE, "vfio-pci");
    VfioCdev.open(process, BRIDGED).bind(iommufd);
    expectCode(() => VfioCdev.open(process, BRIDGED_FREE).bind(Iommufd.open(process)), "GROUP_BUSY", /another one/);
    const event = Iommufd.open(process, process.eventfd(0, 0));
    expectCode(() => VfioCdev.open(process, NVME).bind(event), "NOT_IOMMUFD");
  });

  it("attaching: no such object, another table, mappings in the way", () => {
    const { iommufd, device } = bound();
    expectCode(() => device.attach(99), "NO_OBJECT");
    expectCode(() => device.attach(1), "PAGE_TABLE");
    const space = iommufd.allocIoas();
    space.map({ memory: bytes(1), iova: 0xfee0_0000n });
    expectCode(() => device.attach(space), "IOVA_RANGE", /reserved/);
    expectCode(() => iommufd.allocHwpt({ device: 1, ioas: space, dirtyTracking: true }), "REFUSED", /hardware/);
    expectCode(() => iommufd.hwInfo(99), "NO_OBJECT");
  });

  it("mapping: overlap, alignment, ranges, memory, money, rights of copies", () => {
    const { iommufd, device, process } = bound({ memlock: 4 * PAGE });
    const space = iommufd.allocIoas();
    device.attach(space);
    const memory = bytes(2);
    space.map({ memory, iova: 0n, write: false });
    expectCode(() => space.map({ memory, iova: 0n }), "OVERLAP");
    expectCode(() => space.map({ memory, iova: 5n }), "UNALIGNED", /4096/);
    expectCode(() => space.map({ memory, iova: 0xfee0_0000n }), "IOVA_RANGE", /0xfef00000/);
    expectCode(() => space.map({ memory, iova: 2n ** 64n - 4096n }), "IOVA_RANGE");
    expectCode(() => space.map({ memory: { address: 8n << 20n, size: PAGE } }), "BAD_MEMORY");
    const error = errorOf(() => space.map({ memory: bytes(3) }));
    expect(error).toMatchObject({ code: "MEMLOCK", details: { limit: 4 * PAGE } });
    const part = { from: space, source: { iova: 0n, size: 4096n } };
    expectCode(() => space.copy(part), "BAD_MEMORY", /reading only/);
    expectCode(() => space.copy({ ...part, source: { iova: 0x9000n, size: 4096n }, write: false }), "NO_OBJECT");
    expectCode(() => space.unmap({ iova: 4096n, size: 4096n }), "PARTIAL_UNMAP");
    expectCode(() => space.close(), "IN_USE");
    expectCode(() => space.allow([{ start: 0xfee0_0000n, end: 0xfeef_ffffn }]), "REFUSED", /EADDRINUSE/);
    expect(process.mm.pinnedPages).toBe(2);
  });
});
