// An NVMe 1.4 controller with one namespace.
import { NvmeDevice } from "./device.ts";
import type { NvmeOptions } from "./settings.ts";

export { NvmeDevice } from "./device.ts";
export type { NvmeOptions } from "./settings.ts";

/** A controller that stores on `options.disk`, ready to be plugged. Closing it closes the disk. */
export function nvme(options: NvmeOptions): NvmeDevice {
  return new NvmeDevice(options);
}
