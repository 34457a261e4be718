// @minivmm/pci/function: what one function shows its driver: configuration space, header registers, BARs. For those who need
// neither capabilities nor buses, groups and resets, and start sooner without them.
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
export * from "./config-space.ts";
export * from "./device.ts";
export * from "./error.ts";
export * from "./ports.ts";
export * from "./registers.ts";
