// A modelled host whose IOMMU is type1, and the ioctls of a container as raw calls with plain numbers: tests of rules look
// at return values, not at the client's errors.
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import * as uapi from "../src/index.ts";
import { type IommuAttachable, Type1Instance, Type1Iommu, type Type1IommuOptions } from "../src/model/index.ts";
import { EDU, type TestHostOptions, testHost } from "./fixture.ts";

export interface Type1HostOptions extends TestHostOptions {
  type1?: Type1IommuOptions;
  /** SET_IOMMU argument. Default 3. */
  type?: number;
}

/** A container with the edu's group, its IOMMU set, and 64 pages of written memory. */
export function type1Host(options: Type1HostOptions = {}) {
  const host = type1Parts(options);
  const { process, core } = host;
  const container = uapi.VfioContainer.open(process);
  const group = uapi.VfioGroup.open(process, uapi.iommuGroupOf(process, EDU));
  group.setContainer(container);
  container.setIommu(options.type ?? uapi.VFIO_TYPE1v2_IOMMU);
  const memory = ram(process, 64);
  const instance = core.groups.get(group.id)?.container?.instance;
  if (!(instance instanceof Type1Instance)) throw new Error("the container has no type1 IOMMU");
  return { ...host, container, group, memory, instance, dma: rawCalls(process, container.fd) };
}

/** The host without a container. */
export function type1Parts(options: Type1HostOptions = {}) {
  const host = testHost(options);
  host.core.iommuDrivers.length = 0;
  const driver = new Type1Iommu(host.kernel, { topology: host.topology, ...options.type1 });
  host.core.registerIommuDriver(driver);
  return { ...host, driver };
}

/** Written anonymous memory: its address and bytes. */
export function ram(process: ModelProcess, pages: number, prot: number = PROT_READ | PROT_WRITE) {
  const mapping = process.mmap({ length: pages * 4096, prot, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  if (typeof mapping === "number" || !mapping.bytes) throw new Error("no memory");
  mapping.bytes.fill(0x11);
  return { address: Number(mapping.address), bytes: mapping.bytes, close: () => mapping.close() };
}

export interface RawMap {
  iova: number | bigint;
  vaddr?: number | bigint;
  size?: number | bigint;
  flags?: number;
  argsz?: number;
}

export function rawCalls(process: ModelProcess, fd: number, who: ModelProcess = process) {
  const ioctls = uapi.type1Ioctls(process.arch);
  return {
    /** Same container, called by another process that has the descriptor. */
    by: (other: ModelProcess) => rawCalls(process, fd, other),
    map({ iova, vaddr = 0, size = 4096, flags = 3, argsz = 32 }: RawMap): number {
      const request = { argsz, flags, vaddr: BigInt(vaddr), iova: BigInt(iova), size: BigInt(size) };
      return who.ioctl(fd, ioctls.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map.encode(request));
    },
    /** Bytes unmapped, or -errno; after an error the struct must be untouched. */
    unmap(iova: number | bigint, size: number | bigint, flags = 0): number {
      const request = { argsz: 24, flags, iova: BigInt(iova), size: BigInt(size) };
      const arg = uapi.vfio_iommu_type1_dma_unmap.encode(request);
      const result = who.ioctl(fd, ioctls.VFIO_IOMMU_UNMAP_DMA, arg);
      const after = uapi.vfio_iommu_type1_dma_unmap.decode(arg);
      if (result < 0 && after.size !== request.size) throw new Error("a failed unmap wrote to its struct");
      return result < 0 ? result : Number(after.size);
    },
    dirty: (flags: number) =>
      who.ioctl(fd, ioctls.VFIO_IOMMU_DIRTY_PAGES, uapi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 8, flags })),
    /** GET_BITMAP into user memory at `data`. */
    bitmap(range: {
      iova: number;
      size: number;
      data: number;
      bytes?: number;
      pgsize?: number;
      argsz?: number;
    }): number {
      const { iova, size, data, bytes = 8, pgsize = 4096, argsz = 48 } = range;
      const arg = new Uint8Array(48);
      uapi.vfio_iommu_type1_dirty_bitmap.encode({ argsz, flags: 4 }, arg);
      const bitmap = { pgsize: BigInt(pgsize), size: BigInt(bytes), data: BigInt(data) };
      const get = { iova: BigInt(iova), size: BigInt(size), bitmap };
      arg.set(uapi.vfio_iommu_type1_dirty_bitmap_get.encode(get), 8);
      return who.ioctl(fd, ioctls.VFIO_IOMMU_DIRTY_PAGES, arg);
    },
    info(arg: Uint8Array): number {
      return who.ioctl(fd, ioctls.VFIO_IOMMU_GET_INFO, arg);
    },
  };
}

/** A group of a mediated device, which no modelled device makes. */
export function emulatedGroup(id: number): IommuAttachable {
  const iommuGroup = { id, domain: null } as unknown as IommuAttachable["iommuGroup"];
  return { id, type: "emulated", iommuGroup };
}
