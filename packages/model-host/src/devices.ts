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

// Stand-ins: identity, BARs and capabilities of the real device, registers that only remember what was written.
const E1000E: PassiveOptions = {
  vendor: 0x8086,
  device: 0x10d3,
  classCode: 0x020000,
  interruptPin: 1,
  bars: [
    { index: 0, type: "mem32", size: 0x2_0000 },
    { index: 1, type: "mem32", size: 0x2_0000 },
    { index: 2, type: "io", size: 0x20 },
    { index: 3, type: "mem32", size: 0x4000 },
  ],
  express: {},
  pm: {},
  msi: {},
};
const XHCI: PassiveOptions = {
  vendor: 0x1b36,
  device: 0x000d,
  classCode: 0x0c0330,
  interruptPin: 1,
  bars: [{ index: 0, type: "mem64", size: 0x4000 }],
  express: {},
};

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
    e1000e: () => passive(E1000E),
    xhci: () => passive(XHCI),
  };
  return { models, disks };
}
