// An IOMMU group: functions that an IOMMU cannot tell apart, the domain their DMA goes through, and who owns that DMA.
// Source: drivers/iommu/iommu.c (struct iommu_group, iommu_group_claim_dma_owner, iommu_device_use_default_domain).
// Invariant: a group's DMA belongs either to kernel drivers (counted) or to one user-space owner, never to both.
import { EBUSY, EINVAL, EPERM } from "@minivmm/host";
import type { PciFunction } from "../topology/function.ts";

/** Translates and performs a group's DMA. Implemented by the IOMMU drivers of the modelled host. */
export interface IommuDomain {
  readonly name: string;
  /** False: no translation or no read permission for some byte. */
  read(hi: number, lo: number, into: Uint8Array): boolean;
  write(hi: number, lo: number, from: Uint8Array): boolean;
}

export class IommuGroup {
  readonly id: number;
  readonly functions: PciFunction[] = [];
  /** Null: DMA of the whole group is refused. */
  domain: IommuDomain | null = null;
  /** EEH: the partitionable endpoint is isolated after an error; DMA is refused until it is reset. */
  peFrozen = false;
  /** Name that the platform gives the group (`/sys/kernel/iommu_groups/N/name`), null on hosts that give none. */
  readonly name: string | null;
  #owner: object | null = null;

  constructor(id: number, name: string | null = null) {
    this.id = id;
    this.name = name;
  }

  get owner(): object | null {
    return this.#owner;
  }

  /** Members whose driver uses the kernel's DMA API; while there is one, user space cannot have the group. */
  kernelOwned(): PciFunction[] {
    return this.functions.filter((fn) => fn.driver !== null && !isDriverManagedDma(fn));
  }

  /** May a VFIO user have this group now (no kernel-owned member)? */
  get viable(): boolean {
    return this.kernelOwned().length === 0;
  }

  /** Take the group's DMA for user space. 0, -EINVAL without an owner, -EPERM when it is taken or not viable. */
  claimDmaOwner(owner: object | null): number {
    if (owner === null) return -EINVAL;
    if (this.#owner !== null || !this.viable) return -EPERM;
    this.#owner = owner;
    return 0;
  }

  /** Give the group's DMA back. The domain is dropped: nothing is mapped for nobody. */
  releaseDmaOwner(): void {
    this.#owner = null;
    this.domain = null;
  }
}

/** Drivers that declare driver_managed_dma: they leave a group available to user space. */
const DRIVER_MANAGED_DMA = new Set(["vfio-pci", "pci-stub", "pcieport"]);

export function isDriverManagedDma(fn: PciFunction): boolean {
  const driver = fn.driver;
  return driver !== null && (DRIVER_MANAGED_DMA.has(driver) || driver.endsWith("-vfio-pci"));
}

/** Bind a driver by name. 0, or -EBUSY: already bound, or a kernel DMA driver for a group that user space owns. */
export function bindDriver(fn: PciFunction, driver: string): number {
  if (fn.driver !== null) return -EBUSY;
  fn.driver = driver;
  if (fn.group?.owner && !isDriverManagedDma(fn)) {
    fn.driver = null;
    return -EBUSY;
  }
  return 0;
}

export function unbindDriver(fn: PciFunction): void {
  fn.driver = null;
}
