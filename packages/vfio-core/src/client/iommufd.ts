/**
 * An iommufd (/dev/iommu) as a user holds it: address spaces, hardware page tables, who pays for pinned pages, and the
 * space that VFIO's container calls mean. Devices are bound to it through their own nodes (VfioCdev).
 */
import { ENODEV, type Host, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import * as uapi from "../uapi-iommufd.ts";
import { Hwpt } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import { iommufdCall } from "./iommufd-call.ts";
import { iommufdOpenRefused, objectRefused } from "./iommufd-refusals.ts";
import { refused } from "./refusals.ts";
import { withScratch } from "./scratch.ts";

export interface HwptRequest {
  /** Id of a bound device: the hardware that it is for. */
  readonly device: number;
  readonly ioas: Ioas;
  /** It can tell which pages devices wrote. Default false. */
  readonly dirtyTracking?: boolean;
}

export interface IommuHwInfo {
  /** IOMMU_HW_INFO_TYPE_* */
  readonly type: number;
  /** Of that type: for Intel VT-d an iommu_hw_info_vtd. */
  readonly data: Uint8Array;
  /** The hardware can mark pages that devices wrote. */
  readonly dirtyTracking: boolean;
}

/** As much as any known type has. */
const HW_INFO_ROOM = 64;

export class Iommufd implements Disposable {
  readonly host: Host;
  readonly fd: number;
  readonly #owned: boolean;
  #open = true;

  private constructor(host: Host, fd: number, owned: boolean) {
    this.host = host;
    this.fd = fd;
    this.#owned = owned;
  }

  /**
   * Opens /dev/iommu, or wraps a descriptor of it that was passed in; that one stays open at close().
   * Throws VfioError NO_IOMMUFD_NODE, PERMISSION.
   */
  static open(host: Host, fd?: number): Iommufd {
    const own = fd ?? host.open("/dev/iommu", O_RDWR | O_CLOEXEC);
    if (own < 0) throw iommufdOpenRefused(host, own);
    return new Iommufd(host, own, fd === undefined);
  }

  /** A new, empty address space. Throws VfioError REFUSED. */
  allocIoas(): Ioas {
    const { result, value } = iommufdCall(this, "IOMMU_IOAS_ALLOC", uapi.iommu_ioas_alloc, {});
    if (result < 0) throw refused("an I/O address space cannot be made", result);
    return new Ioas(this, value.out_ioas_id);
  }

  /** A hardware page table that shows an address space. Throws VfioError NO_OBJECT, REFUSED (not with this hardware). */
  allocHwpt({ device, ioas, dirtyTracking = false }: HwptRequest): Hwpt {
    const flags = dirtyTracking ? uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0;
    const request = { flags, dev_id: device, pt_id: ioas.id };
    const { result, value } = iommufdCall(this, "IOMMU_HWPT_ALLOC", uapi.iommu_hwpt_alloc, request);
    if (result < 0) throw objectRefused(`a page table for device ${device} cannot be made`, device, result);
    return new Hwpt(this, value.out_hwpt_id);
  }

  /** What the IOMMU in front of a bound device is. Throws VfioError NO_OBJECT, REFUSED. */
  hwInfo(device: number): IommuHwInfo {
    return withScratch(this.host, HW_INFO_ROOM, (data, data_uptr) => {
      const request = { dev_id: device, data_len: HW_INFO_ROOM, data_uptr };
      const { result, value } = iommufdCall(this, "IOMMU_GET_HW_INFO", uapi.iommu_hw_info, request);
      if (result < 0) throw objectRefused(`the IOMMU of device ${device} does not describe itself`, device, result);
      return {
        type: value.out_data_type,
        data: data.slice(0, Math.min(value.data_len, HW_INFO_ROOM)),
        dirtyTracking: (value.out_capabilities & BigInt(uapi.IOMMU_HW_CAP_DIRTY_TRACKING)) !== 0n,
      };
    });
  }

  /** Who pays for pinned pages of processes without CAP_IPC_LOCK: the user, or the address space as on a container. */
  accounting(): "user" | "address-space" {
    const { result, value } = this.#rlimitMode(uapi.IOMMU_OPTION_OP_GET, 0n);
    if (result < 0) throw refused("who pays for pinned pages cannot be asked", result);
    return value.val64 === 1n ? "address-space" : "user";
  }

  /** To be chosen before there is any object, with CAP_SYS_RESOURCE. Throws VfioError REFUSED. */
  setAccounting(mode: "user" | "address-space"): void {
    const { result } = this.#rlimitMode(uapi.IOMMU_OPTION_OP_SET, mode === "user" ? 0n : 1n);
    if (result < 0) throw refused("who pays for pinned pages cannot be chosen", result);
  }

  /** The space that VFIO's container calls on this descriptor mean, or null. */
  compatIoas(): Ioas | null {
    const request = { op: uapi.IOMMU_VFIO_IOAS_GET };
    const { result, value } = iommufdCall(this, "IOMMU_VFIO_IOAS", uapi.iommu_vfio_ioas, request);
    if (result === -ENODEV) return null;
    if (result < 0) throw refused("the address space of VFIO's calls cannot be asked", result);
    return new Ioas(this, value.ioas_id);
  }

  /** Chooses that space, or takes it away. Throws VfioError NO_OBJECT, REFUSED. */
  setCompatIoas(ioas: Ioas | null): void {
    const op = ioas ? uapi.IOMMU_VFIO_IOAS_SET : uapi.IOMMU_VFIO_IOAS_CLEAR;
    const request = { op, ioas_id: ioas?.id ?? 0 };
    const { result } = iommufdCall(this, "IOMMU_VFIO_IOAS", uapi.iommu_vfio_ioas, request);
    if (result < 0) throw objectRefused("the address space of VFIO's calls cannot be chosen", request.ioas_id, result);
  }

  /** Bound devices keep it alive in the kernel. */
  close(): void {
    if (this.#open && this.#owned) this.host.close(this.fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #rlimitMode(op: number, val64: bigint) {
    const request = { op, option_id: uapi.IOMMU_OPTION_RLIMIT_MODE, val64 };
    return iommufdCall(this, "IOMMU_OPTION", uapi.iommu_option, request);
  }
}
