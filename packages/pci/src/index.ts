// @minivmm/pci: PCI configuration space, topology, IOMMU groups, resets and interrupts; device models are in ./devices.
export type { BarWidth } from "./bar.ts";
export {
  type AssignedBar,
  type BarDescription,
  barOffset,
  defineBar,
  ROM_BAR,
  readBarAddress,
  writeBarAddress,
} from "./bar.ts";
export * from "./bdf.ts";
export { BridgeDevice, type BridgeOptions } from "./bridge.ts";
export { capabilities, extendedCapabilities } from "./capability-list.ts";
export * from "./caps/af.ts";
export * from "./caps/extended.ts";
export * from "./caps/msi.ts";
export * from "./caps/msix.ts";
export * from "./caps/pcie.ts";
export * from "./caps/pm.ts";
export * from "./caps/sriov.ts";
export * from "./config-space.ts";
export * from "./device.ts";
export * from "./error.ts";
export * from "./iommu/acs.ts";
export * from "./iommu/binding.ts";
export type { IommuDomain } from "./iommu/domain.ts";
export * from "./iov/virtual-functions.ts";
export * from "./ports.ts";
export * from "./registers.ts";
export * from "./reset/bus-reset.ts";
export * from "./reset/function-reset.ts";
export * from "./reset/hardware.ts";
export type { ResetMethod } from "./reset/method-names.ts";
export * from "./reset/methods.ts";
export * from "./reset/power.ts";
export { isNoBusResetId, noBusReset } from "./reset/quirks.ts";
export * from "./reset/saved-config.ts";
export type * from "./topology/description.ts";
export { IommuGroup, mayMaster, PciBus, type PciDomain, PciFunction } from "./topology/graph.ts";
export { PciTopology, type TopologyOptions, type TopologyWatcher } from "./topology/topology.ts";
export type * from "./topology/windows.ts";
