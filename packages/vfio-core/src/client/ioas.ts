/**
 * An I/O address space of an iommufd as a user holds it: mapping memory at a chosen or given bus address, copying from
 * other spaces without pinning again, and what the attached hardware leaves to be mapped.
 */
import { EMSGSIZE, ENOENT } from "@minivmm/host";
import * as uapi from "../uapi-iommufd.ts";
import { type IommufdHandle, iommufdCall } from "./iommufd-call.ts";
import { objectRefused, spaceMapRefused, spaceUnmapRefused } from "./iommufd-refusals.ts";
import { withScratch } from "./scratch.ts";
import type { DmaMemory, DmaRange } from "./type1.ts";
import type { IovaRange } from "./type1-info.ts";

export interface SpaceMap {
  readonly memory: DmaMemory;
  /** Bus address of the first byte. Default: the kernel chooses. */
  readonly iova?: bigint;
  /** May the device read it? Default true. */
  readonly read?: boolean;
  /** May the device write it? Default true. */
  readonly write?: boolean;
}

export interface SpaceCopy {
  readonly from: Ioas;
  /** In the other space. */
  readonly source: DmaRange;
  /** In this one. Default: the kernel chooses. */
  readonly iova?: bigint;
  readonly read?: boolean;
  readonly write?: boolean;
}

export interface SpaceRanges {
  /** What can be mapped, ascending; both ends belong to a range. */
  readonly ranges: readonly IovaRange[];
  /** Bytes. 1 as long as no hardware is attached. */
  readonly alignment: number;
}

const EVERYTHING = 0xffff_ffff_ffff_ffffn;
/** A device can be attached between two questions; more often than this it will not. */
const ATTEMPTS = 4;

export class Ioas implements Disposable {
  readonly id: number;
  readonly #iommufd: IommufdHandle;
  #open = true;

  /** Iommufd.allocIoas makes one; an id that was learnt elsewhere can be wrapped, too. */
  constructor(iommufd: IommufdHandle, id: number) {
    this.#iommufd = iommufd;
    this.id = id;
  }

  /**
   * Maps memory for all devices that are or will be attached: the bus address. Throws VfioError OVERLAP, IOVA_RANGE,
   * UNALIGNED, BAD_MEMORY, MEMLOCK, NO_OBJECT, REFUSED.
   */
  map({ memory, iova, read = true, write = true }: SpaceMap): bigint {
    const { host } = this.#iommufd;
    const address = memory instanceof Uint8Array ? host.addressOf(memory) : memory.address;
    const length = BigInt(memory instanceof Uint8Array ? memory.byteLength : memory.size);
    const reply = iommufdCall(this.#iommufd, "IOMMU_IOAS_MAP", uapi.iommu_ioas_map, {
      flags: flagsOf(iova, read, write),
      ioas_id: this.id,
      user_va: address,
      length,
      iova: iova ?? 0n,
    });
    if (reply.result < 0) throw this.#mapRefused({ iova: iova ?? null, size: length, address }, reply.result);
    return reply.value.iova;
  }

  /** Shows part of another space of the same iommufd here; its pages stay pinned once. Throws VfioError as map does. */
  copy({ from, source, iova, read = true, write = true }: SpaceCopy): bigint {
    const reply = iommufdCall(this.#iommufd, "IOMMU_IOAS_COPY", uapi.iommu_ioas_copy, {
      flags: flagsOf(iova, read, write),
      dst_ioas_id: this.id,
      src_ioas_id: from.id,
      length: source.size,
      dst_iova: iova ?? 0n,
      src_iova: source.iova,
    });
    if (reply.result < 0) throw this.#mapRefused({ iova: iova ?? null, size: source.size }, reply.result);
    return reply.value.dst_iova;
  }

  /** Unmaps whole mappings inside a range: bytes that went. Throws VfioError PARTIAL_UNMAP, REFUSED. */
  unmap({ iova, size }: DmaRange): bigint {
    const value = { ioas_id: this.id, iova, length: size };
    const reply = iommufdCall(this.#iommufd, "IOMMU_IOAS_UNMAP", uapi.iommu_ioas_unmap, value);
    if (reply.result < 0) throw spaceUnmapRefused(iova, size, reply.result);
    return reply.value.length;
  }

  /** Unmaps everything: bytes that went. */
  unmapAll(): bigint {
    return this.unmap({ iova: 0n, size: EVERYTHING });
  }

  /** What attached hardware leaves to be mapped. Throws VfioError NO_OBJECT, REFUSED. */
  ranges(): SpaceRanges {
    for (let room = 16, attempt = 0; ; attempt++) {
      const { result, found, more } = this.#readRanges(room);
      if (result >= 0) return found;
      if (result !== -EMSGSIZE || attempt === ATTEMPTS) {
        throw objectRefused(`the ranges of IOAS ${this.id} cannot be read`, this.id, result);
      }
      room = more;
    }
  }

  /** The only ranges in which the kernel may choose; none: anywhere. Throws VfioError NO_OBJECT, REFUSED. */
  allow(ranges: readonly IovaRange[]): void {
    const { size, encode } = uapi.iommu_iova_range;
    const result = withScratch(this.#iommufd.host, ranges.length * size, (list, allowed_iovas) => {
      ranges.forEach(({ start, end }, i) => {
        encode({ start, last: end }, list.subarray(i * size, (i + 1) * size));
      });
      const value = { ioas_id: this.id, num_iovas: ranges.length, allowed_iovas };
      return iommufdCall(this.#iommufd, "IOMMU_IOAS_ALLOW_IOVAS", uapi.iommu_ioas_allow_iovas, value).result;
    });
    if (result < 0) throw objectRefused(`IOAS ${this.id} does not take the allowed ranges`, this.id, result);
  }

  /** Destroys the space with all mappings. Throws VfioError IN_USE while a device is attached. A second call does nothing. */
  close(): void {
    if (!this.#open) return;
    const { result } = iommufdCall(this.#iommufd, "IOMMU_DESTROY", uapi.iommu_destroy, { id: this.id });
    if (result < 0 && result !== -ENOENT) throw objectRefused(`IOAS ${this.id} cannot be destroyed`, this.id, result);
    this.#open = false;
  }

  /** One that is in use, or whose iommufd is closed, goes with the iommufd. */
  [Symbol.dispose](): void {
    iommufdCall(this.#iommufd, "IOMMU_DESTROY", uapi.iommu_destroy, { id: this.#open ? this.id : 0 });
    this.#open = false;
  }

  /** `more`: the number of ranges there are. */
  #readRanges(room: number): { result: number; found: SpaceRanges; more: number } {
    const { size, decode } = uapi.iommu_iova_range;
    return withScratch(this.#iommufd.host, room * size, (list, allowed_iovas) => {
      const value = { ioas_id: this.id, num_iovas: room, allowed_iovas };
      const reply = iommufdCall(this.#iommufd, "IOMMU_IOAS_IOVA_RANGES", uapi.iommu_ioas_iova_ranges, value);
      const { num_iovas, out_iova_alignment } = reply.value;
      const ranges = Array.from({ length: Math.min(num_iovas, room) }, (_, i) => {
        const { start, last } = decode(list, i * size);
        return { start, end: last };
      });
      return { result: reply.result, found: { ranges, alignment: Number(out_iova_alignment) }, more: num_iovas };
    });
  }

  #mapRefused(map: { iova: bigint | null; size: bigint; address?: bigint }, result: number) {
    return spaceMapRefused(this.#iommufd.host, map, this.#tryRanges(), result);
  }

  #tryRanges(): SpaceRanges | null {
    try {
      return this.ranges();
    } catch {
      return null;
    }
  }
}

function flagsOf(iova: bigint | undefined, read: boolean, write: boolean): number {
  const fixed = iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
  return fixed | (read ? uapi.IOMMU_IOAS_MAP_READABLE : 0) | (write ? uapi.IOMMU_IOAS_MAP_WRITEABLE : 0);
}
