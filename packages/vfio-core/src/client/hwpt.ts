/** A hardware page table that the user made: attach devices to it, and ask which pages they wrote. */
import { EINVAL, ENOENT } from "@minivmm/host";
import * as uapi from "../uapi-iommufd.ts";
import { type IommufdHandle, iommufdCall } from "./iommufd-call.ts";
import { objectRefused } from "./iommufd-refusals.ts";
import { withScratch } from "./scratch.ts";
import type { DmaRange } from "./type1.ts";

export interface DirtyQuestion extends DmaRange {
  /** Bytes that a bit stands for, a power of two. Default 4096. */
  readonly pageSize?: number;
  /** Leave the pages dirty. Default false. */
  readonly keep?: boolean;
}

export class Hwpt implements Disposable {
  readonly id: number;
  readonly #iommufd: IommufdHandle;
  #open = true;

  /** Iommufd.allocHwpt makes one. */
  constructor(iommufd: IommufdHandle, id: number) {
    this.#iommufd = iommufd;
    this.id = id;
  }

  /** Starts (all pages clean) or stops tracking. Throws VfioError REFUSED (it was not made for that), NO_OBJECT. */
  trackDirtyPages(on: boolean): void {
    const value = { hwpt_id: this.id, flags: on ? uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0 };
    const struct = uapi.iommu_hwpt_set_dirty_tracking;
    const { result } = iommufdCall(this.#iommufd, "IOMMU_HWPT_SET_DIRTY_TRACKING", struct, value);
    if (result < 0) throw objectRefused(`dirty pages of page table ${this.id} cannot be tracked`, this.id, result);
  }

  /** Bit n of byte m: page 8m + n of the range was written since the last question. Throws VfioError REFUSED, NO_OBJECT. */
  dirtyPages({ iova, size, pageSize = 4096, keep = false }: DirtyQuestion): Uint8Array {
    const { host } = this.#iommufd;
    const what = `the dirty pages of page table ${this.id} cannot be read`;
    if (!(pageSize > 0)) throw objectRefused(what, this.id, -EINVAL);
    const words = Number((size / BigInt(pageSize) + 63n) / 64n);
    return withScratch(host, Math.max(words, 1) * 8, (bytes, data) => {
      const { result } = iommufdCall(this.#iommufd, "IOMMU_HWPT_GET_DIRTY_BITMAP", uapi.iommu_hwpt_get_dirty_bitmap, {
        hwpt_id: this.id,
        flags: keep ? uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
        iova,
        length: size,
        page_size: BigInt(pageSize),
        data,
      });
      if (result < 0) throw objectRefused(what, this.id, result);
      return bytes.slice(0, words * 8);
    });
  }

  /** Throws VfioError IN_USE while a device is attached. A second call does nothing. */
  close(): void {
    if (!this.#open) return;
    const { result } = iommufdCall(this.#iommufd, "IOMMU_DESTROY", uapi.iommu_destroy, { id: this.id });
    if (result < 0 && result !== -ENOENT)
      throw objectRefused(`page table ${this.id} is not destroyed`, this.id, result);
    this.#open = false;
  }

  /** One that is in use goes with the iommufd. */
  [Symbol.dispose](): void {
    iommufdCall(this.#iommufd, "IOMMU_DESTROY", uapi.iommu_destroy, { id: this.#open ? this.id : 0 });
    this.#open = false;
  }
}
