/**
 * A container whose IOMMU is type1 (x86, ARM), as a user holds it: what may be mapped, mapping memory for devices, and
 * which pages devices may have written. Set the type on the VfioContainer first (3 is the one to use).
 */
import { type Host, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { VfioError } from "../error.ts";
import * as uapi from "../uapi.ts";
import type { VfioContainer } from "./container.ts";
import { DmaCalls } from "./dma-calls.ts";
import { readType1Info, type Type1Info } from "./type1-info.ts";
import { dirtyRefused, mapRefused, unmapRefused } from "./type1-refusals.ts";

/** Memory of this process: bytes (shared or mapped on a real host), or an address and a size in bytes. */
export type DmaMemory = Uint8Array | { readonly address: bigint; readonly size: number | bigint };

export interface DmaMap {
  /** Bus address of the first byte. */
  readonly iova: bigint;
  readonly memory: DmaMemory;
  /** May the device read it? Default true. */
  readonly read?: boolean;
  /** May the device write it? Default true. */
  readonly write?: boolean;
}

export interface DmaRange {
  readonly iova: bigint;
  /** Bytes. */
  readonly size: bigint;
}

/** Pages that may have been written since tracking started or they were asked for the last time. */
export interface DirtyPages {
  /** Bytes that a bit stands for. */
  readonly pageSize: number;
  /** Bit n of byte m: page 8m + n of the range. */
  readonly bitmap: Uint8Array;
  /** Bytes that were unmapped, 0 when nothing was to be. */
  readonly unmapped: bigint;
}

export class Type1Container {
  readonly container: VfioContainer;
  /** Raw calls for mapping page by page. */
  readonly calls: DmaCalls;
  readonly #host: Host;
  readonly #ioctls: uapi.Type1Ioctls;

  constructor(container: VfioContainer) {
    this.container = container;
    this.#host = container.host;
    this.#ioctls = uapi.type1Ioctls(this.#host.arch);
    this.calls = new DmaCalls(this.#host, container.fd, this.#ioctls);
  }

  /** Throws VfioError NO_IOMMU_TYPE as long as the container has none. */
  info(): Type1Info {
    return readType1Info(this.#host, this.container.fd, this.#ioctls.VFIO_IOMMU_GET_INFO);
  }

  /**
   * Maps memory for all devices of the container; it is pinned until it is unmapped. Throws VfioError MEMLOCK (with limit
   * and need in `details`), OVERLAP, IOVA_RANGE, UNALIGNED, BAD_MEMORY, MAPPING_LIMIT, REFUSED.
   */
  mapDma({ iova, memory, read = true, write = true }: DmaMap): void {
    const flags = (read ? uapi.VFIO_DMA_MAP_FLAG_READ : 0) | (write ? uapi.VFIO_DMA_MAP_FLAG_WRITE : 0);
    this.#map(iova, memory, flags);
  }

  /** Unmaps all mappings inside a range: bytes that went. Throws VfioError PARTIAL_UNMAP, UNALIGNED, REFUSED. */
  unmapDma(range: DmaRange): bigint {
    return this.#unmap(range, 0);
  }

  /** Unmaps everything: bytes that went. */
  unmapAll(): bigint {
    if (this.container.checkExtension(uapi.VFIO_UNMAP_ALL) > 0) {
      return this.#unmap({ iova: 0n, size: 0n }, uapi.VFIO_DMA_UNMAP_FLAG_ALL);
    }
    // Kernels before 5.12: the largest range that does not end at 2^64, which would find nothing.
    const unit = BigInt(this.info().pageSize);
    return this.#unmap({ iova: 0n, size: (1n << 64n) - unit }, 0);
  }

  /**
   * The mappings of a range keep their pages, but their user addresses are given up (before exec). Bytes concerned.
   * Throws VfioError PARTIAL_UNMAP, REFUSED.
   */
  releaseAddresses(range: DmaRange): bigint {
    return this.#unmap(range, uapi.VFIO_DMA_UNMAP_FLAG_VADDR);
  }

  /** Names the new address of the same memory of one such mapping. Throws VfioError NO_MAPPING, REFUSED, MEMLOCK. */
  updateAddress(iova: bigint, memory: DmaMemory): void {
    this.#map(iova, memory, uapi.VFIO_DMA_MAP_FLAG_VADDR);
  }

  /** Throws VfioError TYPE1_VERSION (type 1 cannot), REFUSED. */
  startDirtyTracking(): void {
    this.#dirty(uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_START, "dirty pages cannot be tracked");
  }

  /** Does nothing when pages are not tracked. */
  stopDirtyTracking(): void {
    this.#dirty(uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, "dirty page tracking cannot be stopped");
  }

  /** The dirty pages of a range of whole mappings, which are clean from then on. Throws VfioError REFUSED. */
  dirtyPages({ iova, size }: DmaRange): DirtyPages {
    const head = uapi.vfio_iommu_type1_dirty_bitmap;
    const range = uapi.vfio_iommu_type1_dirty_bitmap_get;
    const argsz = head.size + range.size;
    return this.#withBitmap(size, (bitmap) => {
      const arg = new Uint8Array(argsz);
      head.encode({ argsz, flags: uapi.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP }, arg);
      arg.set(range.encode({ iova, size, bitmap }), head.size);
      const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_DIRTY_PAGES, arg);
      if (result < 0) throw dirtyRefused("the dirty pages cannot be read", result);
      return 0n;
    });
  }

  /** unmapDma that also reports which pages were dirty. Pages must be tracked. */
  unmapDmaDirty(range: DmaRange): DirtyPages {
    const struct = uapi.vfio_iommu_type1_dma_unmap;
    const argsz = struct.size + uapi.vfio_bitmap.size;
    return this.#withBitmap(range.size, (bitmap) => {
      const arg = new Uint8Array(argsz);
      struct.encode({ argsz, flags: uapi.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, ...range }, arg);
      arg.set(uapi.vfio_bitmap.encode(bitmap), struct.size);
      const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_UNMAP_DMA, arg);
      if (result < 0) throw unmapRefused(range, this.#tryInfo(), result);
      return struct.decode(arg).size;
    });
  }

  #map(iova: bigint, memory: DmaMemory, flags: number): void {
    const struct = uapi.vfio_iommu_type1_dma_map;
    const address = memory instanceof Uint8Array ? this.#host.addressOf(memory) : memory.address;
    const size = BigInt(memory instanceof Uint8Array ? memory.byteLength : memory.size);
    const arg = struct.encode({ argsz: struct.size, flags, vaddr: address, iova, size });
    const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_MAP_DMA, arg);
    if (result < 0) throw mapRefused(this.#host, { iova, size, address }, this.#tryInfo(), result);
  }

  #unmap(range: DmaRange, flags: number): bigint {
    const struct = uapi.vfio_iommu_type1_dma_unmap;
    const arg = struct.encode({ argsz: struct.size, flags, ...range });
    const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_UNMAP_DMA, arg);
    if (result < 0) {
      throw unmapRefused(range, this.#tryInfo(), result, (flags & uapi.VFIO_DMA_UNMAP_FLAG_VADDR) !== 0);
    }
    return struct.decode(arg).size;
  }

  #dirty(flags: number, what: string): void {
    const struct = uapi.vfio_iommu_type1_dirty_bitmap;
    const arg = struct.encode({ argsz: struct.size, flags });
    const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_DIRTY_PAGES, arg);
    if (result < 0) throw dirtyRefused(what, result);
  }

  /** The kernel writes the bitmap through a pointer, so it lives in memory of its own for the call. */
  #withBitmap(size: bigint, call: (bitmap: { pgsize: bigint; size: bigint; data: bigint }) => bigint): DirtyPages {
    const { pageSize } = this.info();
    const length = Number((size / BigInt(pageSize) + 63n) / 64n) * 8;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const memory = this.#host.mmap({ length: Math.max(length, 8), prot: PROT_READ | PROT_WRITE, flags });
    if (typeof memory === "number" || !memory.bytes) {
      throw new VfioError(`no memory for a bitmap of ${length} bytes`, { code: "REFUSED", details: { size } });
    }
    try {
      const unmapped = call({ pgsize: BigInt(pageSize), size: BigInt(length), data: memory.address });
      return { pageSize, bitmap: memory.bytes.slice(0, length), unmapped };
    } finally {
      memory.close();
    }
  }

  #tryInfo(): Type1Info | null {
    try {
      return this.info();
    } catch {
      return null;
    }
  }
}
