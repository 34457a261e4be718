/**
 * A VFIO container: the groups that share one IOMMU context. Every open of /dev/vfio/vfio makes one.
 *
 * States: EMPTY, ATTACHED (groups, no IOMMU driver), READY (driver chosen by SET_IOMMU). There is no "unset IOMMU":
 * the driver goes when the last group does, and the container can be used again with another type.
 * The container outlives its descriptor as long as a group is attached. Source: drivers/vfio/container.c.
 */
import { EINVAL, ENODEV, EPERM } from "@minivmm/host";
import { type FileOps, type IoctlCall, KernelError, type ModelProcess, refusal } from "@minivmm/host/model";
import { VFIO_API_VERSION, type VfioIoctls } from "../uapi.ts";
import type { IommuAttachable, IommuContainer, IommuDriver, IommuInstance } from "./iommu-driver.ts";

export interface ContainerContext {
  readonly ioctls: VfioIoctls;
  /** Registered drivers, the newest first. */
  readonly iommuDrivers: readonly IommuDriver[];
}

export class VfioContainer implements FileOps, IommuContainer {
  readonly kind = "vfio-container";
  readonly #context: ContainerContext;
  readonly #groups: IommuAttachable[] = [];
  #driver: IommuDriver | null = null;
  #instance: IommuInstance | null = null;
  #noiommu = false;

  constructor(context: ContainerContext) {
    this.#context = context;
  }

  get groups(): readonly IommuAttachable[] {
    return this.#groups;
  }
  get noiommu(): boolean {
    return this.#noiommu;
  }
  /** The IOMMU context in READY state, else null. */
  get instance(): IommuInstance | null {
    return this.#instance;
  }
  get driver(): IommuDriver | null {
    return this.#driver;
  }

  ioctl(call: IoctlCall): number {
    const { ioctls } = this.#context;
    switch (call.request) {
      case ioctls.VFIO_GET_API_VERSION:
        return VFIO_API_VERSION;
      case ioctls.VFIO_CHECK_EXTENSION:
        return this.checkExtension(call.arg.number);
      case ioctls.VFIO_SET_IOMMU:
        return this.#setIommu(call.arg.number, call.process);
      default:
        return this.#instance ? this.#instance.ioctl(call) : -EINVAL;
    }
  }

  read(): number {
    return -EINVAL;
  }
  write(): number {
    return -EINVAL;
  }
  pread(): number {
    return -EINVAL;
  }
  pwrite(): number {
    return -EINVAL;
  }

  /** Without a driver every allowed one is asked until one answers more than 0. */
  checkExtension(ext: number): number {
    if (this.#instance) return this.#instance.checkExtension(ext);
    for (const driver of this.#context.iommuDrivers) {
      if (this.#groups.length > 0 && driver.allowsNoiommu !== this.#noiommu) continue;
      const answer = driver.checkExtension(ext, null);
      if (answer > 0) return answer;
    }
    return 0;
  }

  /** SET_CONTAINER of one group, whose DMA the caller owns already. Throws what the driver throws. */
  attach(group: IommuAttachable): void {
    const noiommu = group.type === "noiommu";
    if (this.#groups.length > 0 && this.#noiommu !== noiommu) {
      throw new KernelError(EPERM, "groups with and without an IOMMU cannot share a container");
    }
    this.#instance?.attachGroup(group);
    this.#noiommu = noiommu;
    this.#groups.push(group);
  }

  detach(group: IommuAttachable): void {
    this.#instance?.detachGroup(group);
    block(group);
    this.#groups.splice(this.#groups.indexOf(group), 1);
    if (this.#groups.length > 0) return;
    this.#instance?.release();
    this.#instance = null;
    this.#driver = null;
    this.#noiommu = false;
  }

  /** One driver's failure does not end the search: the last error counts when none succeeds. */
  #setIommu(type: number, process: ModelProcess): number {
    if (this.#groups.length === 0 || this.#instance) return -EINVAL;
    let result = -ENODEV;
    for (const driver of this.#context.iommuDrivers) {
      if (driver.allowsNoiommu !== this.#noiommu || driver.checkExtension(type, null) <= 0) continue;
      try {
        this.#instance = this.#attachAll(driver, type, process);
        this.#driver = driver;
        return 0;
      } catch (error) {
        result = refusal(error);
      }
    }
    return result;
  }

  #attachAll(driver: IommuDriver, type: number, process: ModelProcess): IommuInstance {
    const instance = driver.open(type, this, process);
    const attached: IommuAttachable[] = [];
    try {
      for (const group of this.#groups) {
        instance.attachGroup(group);
        attached.push(group);
      }
      return instance;
    } catch (error) {
      for (const group of attached.reverse()) {
        instance.detachGroup(group);
        block(group);
      }
      instance.release();
      throw error;
    }
  }
}

/** No DMA from now on; what has no IOMMU cannot be stopped. */
function block(group: IommuAttachable): void {
  if (group.type !== "noiommu") group.iommuGroup.domain = null;
}
