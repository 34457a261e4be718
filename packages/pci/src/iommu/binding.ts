// Binding a driver to a function, under the rules of its IOMMU group (iommu_device_use_default_domain).
import { EBUSY } from "@minivmm/host";
import type { PciFunction } from "../topology/graph.ts";
import { isDriverManaged } from "./managed-drivers.ts";

/** Does the bound driver leave the group's DMA to user space? */
export function isDriverManagedDma(fn: PciFunction): boolean {
  return isDriverManaged(fn.driver);
}

/** Bind a driver by name. 0, or -EBUSY: already bound, or a kernel DMA driver for a group that user space owns. */
export function bindDriver(fn: PciFunction, driver: string): number {
  if (fn.driver !== null) return -EBUSY;
  fn.driver = driver;
  if (fn.group?.owner && !isDriverManaged(driver)) {
    fn.driver = null;
    return -EBUSY;
  }
  return 0;
}

export function unbindDriver(fn: PciFunction): void {
  fn.driver = null;
}
