// @minivmm/pci/function: what one function shows its driver: configuration space, registers, capabilities, BARs. For those
// who need neither buses, groups nor resets, and start sooner without them.
export {
  type AssignedBar,
  type BarDescription,
  type BarWidth,
  barOffset,
  defineBar,
  ROM_BAR,
  readBarAddress,
  writeBarAddress,
} from "./bar.ts";
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
export * from "./ports.ts";
export * from "./registers.ts";
