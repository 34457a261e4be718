// The display.
export { VgaDevice, type VgaOptions } from "./device.ts";
export { LegacyVga } from "./legacy.ts";
