// High Definition Audio.
export { HdaDevice, type HdaOptions } from "./device.ts";
