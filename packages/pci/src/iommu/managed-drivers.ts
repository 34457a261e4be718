// Drivers that declare driver_managed_dma: they leave a group available to user space (drivers/iommu/iommu.c).

const DRIVER_MANAGED_DMA = new Set(["vfio-pci", "pci-stub", "pcieport"]);

export function isDriverManaged(driver: string | null): boolean {
  return driver !== null && (DRIVER_MANAGED_DMA.has(driver) || /[-_]vfio[-_]pci$/.test(driver));
}

/** Drivers without ids of their own: a function gets one through driver_override (or an id that somebody adds). */
export function needsOverride(driver: string): boolean {
  return driver !== "pcieport" && isDriverManaged(driver);
}
