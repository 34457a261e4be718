// An iommufd in the place of VFIO's container: type1's calls on it, groups on it, and /dev/vfio/vfio served by it.
import { EEXIST, EINVAL, ENODEV, ENOENT, ENOTTY, EOVERFLOW, EPERM, O_RDWR } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { iommuGroupOf, Type1Container, type1Ioctls, VfioContainer, VfioGroup, vfioIoctls } from "../src/index.ts";
import * as uapi from "../src/uapi-iommufd.ts";
import { BRIDGED, BRIDGED_HOST, EDU, NVME } from "./fixture.ts";
import { iommufdHost, rawNode } from "./iommufd-fixture.ts";
import { ram, rawCalls } from "./type1-fixture.ts";

const ioctls = vfioIoctls("x86_64");
const PAGE = 4096;

/** A group with an iommufd as its container. */
function joined(options: Parameters<typeof iommufdHost>[0] = {}, bdf = EDU) {
  const host = iommufdHost(options);
  const { process, fd } = host;
  const container = VfioContainer.open(process, fd);
  const group = VfioGroup.open(process, iommuGroupOf(process, bdf));
  group.setContainer(container);
  return { ...host, container, group, dma: rawCalls(process, fd), memory: ram(process, 64) };
}

describe("vfio-core iommufd as container: before a group", () => {
  it("there is no address space: ENODEV", () => {
    const { process, fd, io } = iommufdHost();
    const ext = (n: number) => process.ioctl(fd, ioctls.VFIO_CHECK_EXTENSION, n);
    expect(process.ioctl(fd, ioctls.VFIO_GET_API_VERSION, 0)).toBe(0);
    expect([1, 2, 3, 5, 6, 7, 8, 9, 10].map(ext)).toEqual([1, 0, 1, 0, 0, 0, 0, 1, 0]);
    expect(ext(4)).toBe(-ENODEV);
    const set = (n: number) => process.ioctl(fd, ioctls.VFIO_SET_IOMMU, n);
    expect([1, 3, 6, 8, 9].map(set)).toEqual([-ENODEV, -ENODEV, -EINVAL, -EINVAL, -EINVAL]);
    const { map, unmap, dirty } = rawCalls(process, fd);
    expect(map({ iova: 0 })).toBe(-ENODEV);
    expect(map({ iova: 0, argsz: 31 })).toBe(-EINVAL);
    expect(unmap(0, 4096)).toBe(-ENODEV);
    expect(dirty(1)).toBe(-ENOTTY);
    expect(io.call("IOMMU_VFIO_IOAS", uapi.iommu_vfio_ioas, { op: 0 }).result).toBe(-ENODEV);
  });

  it("its address space can be chosen and taken away", () => {
    const { io } = iommufdHost();
    const vfio = (op: number, ioas_id = 0) => {
      const reply = io.call("IOMMU_VFIO_IOAS", uapi.iommu_vfio_ioas, { op, ioas_id });
      return reply.result < 0 ? reply.result : reply.ioas_id;
    };
    const ioas = io.alloc();
    expect(vfio(1, 9)).toBe(-ENOENT);
    expect(vfio(1, ioas)).toBe(ioas);
    expect(vfio(0)).toBe(ioas);
    expect(vfio(2)).toBe(0);
    expect(vfio(0)).toBe(-ENODEV);
    vfio(1, ioas);
    // Being VFIO's does not keep it.
    expect(io.destroy(ioas)).toBe(0);
    expect(vfio(0)).toBe(-ENODEV);
  });
});

describe("vfio-core iommufd as container: groups", () => {
  it("make its address space, once", () => {
    const { io, process, container, group } = joined();
    expect(group.status()).toEqual({ viable: true, containerSet: true });
    expect(() => group.setContainer(container)).toThrow(/has a container already/);
    const second = VfioGroup.open(process, iommuGroupOf(process, NVME));
    second.setContainer(container);
    expect(io.alloc()).toBe(2);
    expect(process.ioctl(container.fd, ioctls.VFIO_SET_IOMMU, 1)).toBe(0);
    expect(process.ioctl(container.fd, ioctls.VFIO_SET_IOMMU, 3)).toBe(0);
    expect(process.ioctl(container.fd, ioctls.VFIO_CHECK_EXTENSION, 4)).toBe(1);
  });

  it("open their devices bound and attached to it, without holding the group", () => {
    const { io, process, group, container, core } = joined();
    const device = group.device(EDU);
    expect(core.device(EDU)?.iommufd?.id).toBe(2);
    expect(io.ranges(1).count).toBe(2);
    const again = group.device(EDU);
    expect(core.device(EDU)?.openCount).toBe(2);
    // Leaving is never refused, and closing the group lets it be opened again.
    group.unsetContainer();
    expect(group.status()).toEqual({ viable: false, containerSet: false });
    group.close();
    using other = VfioGroup.open(process, group.id);
    expect(() => other.device(EDU)).toThrow(/cannot be opened/);
    device.close();
    again.close();
    expect(core.device(EDU)?.iommufd).toBeNull();
    expect(io.destroy(1)).toBe(0);
    expect(container.apiVersion()).toBe(0);
  });

  it("are promised to be viable, and the device may still be refused", () => {
    const { process, core, container, fd } = joined();
    core.bind(BRIDGED_HOST, "e1000");
    const group = VfioGroup.open(process, iommuGroupOf(process, BRIDGED));
    expect(group.status().viable).toBe(false);
    group.setContainer(container);
    expect(group.status().viable).toBe(true);
    const name = new TextEncoder().encode(`${BRIDGED}\0`);
    expect(process.ioctl(group.fd, ioctls.VFIO_GROUP_GET_DEVICE_FD, name)).toBe(-EPERM);
    expect(process.fileOf(fd)?.refs).toBe(3);
    group.close();
    expect(process.fileOf(fd)?.refs).toBe(2);
  });

  it("a device that cannot be attached is closed again", () => {
    const { dma, group, memory, core, process, fd } = joined();
    expect(dma.map({ iova: 0xfee0_0000, vaddr: memory.address })).toBe(0);
    const name = new TextEncoder().encode(`${EDU}\0`);
    expect(process.ioctl(group.fd, ioctls.VFIO_GROUP_GET_DEVICE_FD, name)).toBe(-98);
    expect(core.device(EDU)).toMatchObject({ openCount: 0, iommufd: null });
    expect(process.fileOf(fd)?.refs).toBe(2);
    expect(core.device(EDU)?.fn.group?.owner).toBeNull();
  });
});

describe("vfio-core iommufd as container: type1's calls", () => {
  it("MAP_DMA has iommufd's errors", () => {
    const { dma, group, memory } = joined();
    group.device(EDU);
    const vaddr = memory.address;
    expect(dma.map({ iova: 0, vaddr, flags: 4 })).toBe(-EINVAL);
    expect(dma.map({ iova: 0, vaddr, size: 0 })).toBe(-EINVAL);
    expect(dma.map({ iova: 0xffff_ffff_ffff_f000n, vaddr, size: 2 * PAGE })).toBe(-EOVERFLOW);
    expect(dma.map({ iova: 0xfee0_0000, vaddr })).toBe(-EINVAL);
    expect(dma.map({ iova: 0, vaddr })).toBe(0);
    expect(dma.map({ iova: 0, vaddr })).toBe(-EEXIST);
    expect(dma.map({ iova: PAGE, vaddr, flags: 0 })).toBe(0);
  });

  it("UNMAP_DMA of version 2 takes whole mappings and tells how much, also when it fails", () => {
    const { process, fd, dma, memory } = joined();
    const request = type1Ioctls("x86_64").VFIO_IOMMU_UNMAP_DMA;
    const unmap = (iova: number, size: number, flags = 0) => {
      const arg = new Uint8Array(24);
      const view = new DataView(arg.buffer);
      view.setUint32(0, 24, true);
      view.setUint32(4, flags, true);
      view.setBigUint64(8, BigInt(iova), true);
      view.setBigUint64(16, BigInt(size), true);
      return [process.ioctl(fd, request, arg), Number(view.getBigUint64(16, true))];
    };
    process.ioctl(fd, ioctls.VFIO_SET_IOMMU, 3);
    dma.map({ iova: 0, vaddr: memory.address, size: 4 * PAGE });
    dma.map({ iova: 4 * PAGE, vaddr: memory.address, size: 4 * PAGE });
    expect(unmap(0, 5 * PAGE)).toEqual([-ENOENT, 4 * PAGE]);
    expect(unmap(0, 0)).toEqual([-EINVAL, 0]);
    expect(unmap(0x100_0000, PAGE)).toEqual([0, 0]);
    expect(unmap(0, 0, 1)).toEqual([-EINVAL, 0]);
    expect(unmap(PAGE, 0, 2)).toEqual([-EINVAL, 0]);
    expect(unmap(0, 0, 2)).toEqual([0, 4 * PAGE]);
  });

  it("UNMAP_DMA of version 1 cuts mappings anywhere, and pins follow", () => {
    const { process, fd, dma, group, memory, core } = joined();
    expect(process.ioctl(fd, ioctls.VFIO_SET_IOMMU, 1)).toBe(0);
    const device = group.device(EDU);
    expect(dma.map({ iova: 0, vaddr: memory.address, size: 16 * PAGE })).toBe(0);
    expect(dma.unmap(4 * PAGE, 2 * PAGE)).toBe(2 * PAGE);
    expect(process.mm.pinnedPages).toBe(14);
    const domain = core.device(EDU)?.fn.group?.domain;
    const at = (page: number) => domain?.read(0, page * PAGE, new Uint8Array(4));
    expect([3, 4, 5, 6, 15].map(at)).toEqual([true, false, false, true, true]);
    expect(dma.unmap(0, 5 * PAGE)).toBe(4 * PAGE);
    expect(process.mm.pinnedPages).toBe(10);
    device.close();
    expect(process.mm.pinnedPages).toBe(0);
    expect(dma.unmap(0, 16 * PAGE)).toBe(10 * PAGE);
  });

  it("GET_INFO tells all and always how much that is", () => {
    const { dma, group, container } = joined();
    group.device(EDU);
    const info = new Type1Container(container).info();
    expect(info).toMatchObject({ pageSize: PAGE, dmaAvail: 0xffff_ffff, maxDirtyBitmapSize: null });
    expect(info.iovaRanges?.map(({ start, end }) => [Number(start), Number(end)])).toEqual([
      [0, 0xfedf_ffff],
      [0xfef0_0000, 2 ** 48 - 1],
    ]);
    const needed = 24 + 16 + 16 + 32;
    const ask = (argsz: number, length = 128) => {
      const arg = new Uint8Array(length).fill(0xaa);
      new DataView(arg.buffer).setUint32(0, argsz, true);
      const result = dma.info(arg);
      return { result, view: new DataView(arg.buffer), arg };
    };
    expect(ask(15).result).toBe(-EINVAL);
    const short = ask(16);
    expect([short.result, short.view.getUint32(0, true), short.arg[16]]).toEqual([0, needed, 0xaa]);
    // Room for the first capability only: it is written, but not announced.
    const first = ask(40);
    expect(first.view.getUint32(0, true)).toBe(needed);
    expect([first.view.getUint32(16, true), first.view.getUint16(24, true), first.view.getUint32(28, true)]).toEqual([
      0, 3, 40,
    ]);
    expect(first.arg[40]).toBe(0xaa);
    const all = ask(needed);
    expect([all.view.getUint32(16, true), all.view.getUint16(40, true), all.view.getUint32(48, true)]).toEqual([
      24, 1, 2,
    ]);
  });
});

describe("vfio-core iommufd: serving /dev/vfio/vfio", () => {
  it("the client of type1 cannot tell, and pages are charged as VFIO does", () => {
    const { process, kernel, core } = iommufdHost({ iommufd: { servesContainer: true } });
    using container = VfioContainer.open(process);
    expect(kernel.log.filter((line) => line.includes("IOMMUFD is providing /dev/vfio/vfio"))).toHaveLength(1);
    using group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    group.setContainer(container);
    container.setIommu(3);
    using device = group.device(EDU);
    const type1 = new Type1Container(container);
    const memory = new Uint8Array(new SharedArrayBuffer(4 * PAGE));
    type1.mapDma({ iova: 0x1000n, memory });
    expect(process.mm.lockedPages).toBe(4);
    expect(core.iommufd?.accounts.lockedBy(process)).toBe(0);
    expect(() => type1.mapDma({ iova: 0x1000n, memory })).toThrow(/mapped already/);
    expect(type1.unmapAll()).toBe(BigInt(4 * PAGE));
    expect(device.info().regions).toBe(9);
  });

  it("knows iommufd's own calls", () => {
    const { process } = iommufdHost({ iommufd: { servesContainer: true } });
    const fd = process.open("/dev/vfio/vfio", O_RDWR);
    const node = rawNode(process, EDU);
    expect(node.bind(fd)).toBe(1);
  });
});
