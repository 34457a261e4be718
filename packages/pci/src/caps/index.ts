// @minivmm/pci/capabilities: the capabilities of a function, to be found, added and served.
export { capabilities, extendedCapabilities } from "../capability-list.ts";
export * from "./af.ts";
export * from "./extended.ts";
export * from "./msi.ts";
export * from "./msix.ts";
export * from "./pcie.ts";
export * from "./pm.ts";
export * from "./sriov.ts";
