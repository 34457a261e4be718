/** One container's type1 IOMMU: dispatches its ioctls and lets groups in and out. Source: vfio_iommu_type1_ioctl. */
import { ENOTTY } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import { type Type1Ioctls, VFIO_DMA_CC_IOMMU, VFIO_UPDATE_VADDR } from "../../uapi.ts";
import type { IommuAttachable, IommuInstance } from "../iommu-driver.ts";
import { dirtyPages } from "./dirty.ts";
import { type DomainOptions, Type1Domains } from "./domains.ts";
import { getInfo } from "./info.ts";
import { mapDma } from "./map.ts";
import type { Type1State } from "./state.ts";
import { unmapDma } from "./unmap.ts";

export interface InstanceOptions extends DomainOptions {
  readonly ioctls: Type1Ioctls;
  /** CHECK_EXTENSION of everything that does not depend on the container. */
  checkExtension(ext: number): number;
}

export class Type1Instance implements IommuInstance {
  readonly state: Type1State;
  readonly domains: Type1Domains;
  readonly #options: InstanceOptions;

  constructor(state: Type1State, options: InstanceOptions) {
    this.state = state;
    this.domains = new Type1Domains(state, options);
    this.#options = options;
  }

  ioctl(call: IoctlCall): number {
    const { ioctls, profile } = this.#options;
    switch (call.request) {
      case ioctls.VFIO_IOMMU_MAP_DMA:
        return mapDma(this.state, call);
      case ioctls.VFIO_IOMMU_UNMAP_DMA:
        return unmapDma(this.state, call);
      case ioctls.VFIO_IOMMU_GET_INFO:
        return getInfo(this.state, call.arg, profile.wideInfo);
      case ioctls.VFIO_IOMMU_DIRTY_PAGES:
        return dirtyPages(this.state, call);
      default:
        return -ENOTTY;
    }
  }

  checkExtension(ext: number): number {
    if (ext === VFIO_DMA_CC_IOMMU) return this.domains.coherent ? 1 : 0;
    if (ext === VFIO_UPDATE_VADDR) return this.state.emulatedGroups === 0 ? 1 : 0;
    return this.#options.checkExtension(ext);
  }

  attachGroup(group: IommuAttachable): void {
    this.domains.attach(group);
  }

  detachGroup(group: IommuAttachable): void {
    this.domains.detach(group);
  }

  /** The last group has taken all mappings with it. */
  release(): void {
    this.state.removeAll();
  }
}
