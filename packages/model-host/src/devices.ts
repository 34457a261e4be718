// Device models by the names that descriptions use, made from plain options.
import type { ModelKernel } from "@minivmm/host/model";
import type { DeviceFactories } from "@minivmm/pci";
import {
  type Disk,
  edu,
  fileDisk,
  memoryDisk,
  type NvmeOptions,
  nvme,
  type PassiveOptions,
  passive,
} from "@minivmm/pci/devices";
import { checkDisk } from "./description.ts";

export interface DeviceSet {
  readonly models: DeviceFactories;
  /** Disks that were opened, to be closed with the host. */
  readonly disks: Disk[];
}

/** `given` is the disk that the next storage device with the option `given: true` gets. */
export function deviceSet(kernel: ModelKernel, given: Disk | null): DeviceSet {
  const disks: Disk[] = [];
  const open = (value: unknown): Disk => {
    const description = checkDisk(value);
    const disk =
      description.kind === "memory"
        ? memoryDisk(description.size)
        : fileDisk(description.path, { readonly: description.readonly ?? false });
    disks.push(disk);
    return disk;
  };
  const models: DeviceFactories = {
    nvme: ({ disk, given: useGiven, ...rest }) =>
      nvme({
        ...rest,
        disk: useGiven && given ? given : open(disk ?? { kind: "memory", size: 64 * 1024 * 1024 }),
      } as NvmeOptions),
    edu: (options) => edu({ ...options, after: (ms, run) => kernel.clock.after(ms, run) }),
    passive: (options) => passive(options as unknown as PassiveOptions),
  };
  return { models, disks };
}
