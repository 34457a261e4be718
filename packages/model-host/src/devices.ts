// Device models by the names that descriptions use, made from plain options.
import type { ModelKernel } from "@minivmm/host/model";
import type { DeviceFactories } from "@minivmm/pci";
import {
  type After,
  type Disk,
  E1000eDevice,
  EhciDevice,
  edu,
  fileDisk,
  HdaDevice,
  Ich9Ahci,
  Ich9Lpc,
  Ich9Smbus,
  memoryDisk,
  type NvmeOptions,
  nullDisk,
  nvme,
  type PassiveOptions,
  PciTestDevice,
  passive,
  Q35HostBridge,
  UhciDevice,
  VgaDevice,
  VirtioSerial,
  XhciDevice,
} from "@minivmm/pci/devices";
import { checkDisk, type DiskDescription } from "./description.ts";

/** Another maker's USB controller: identity and BAR, registers that only remember what was written. */
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
    const disk = openDisk(description);
    disks.push(disk);
    return disk;
  };
  const after: After = (ms, run) => kernel.clock.after(ms, run);
  const now = () => kernel.clock.now();
  const models: DeviceFactories = {
    nvme: ({ disk, given: useGiven, ...rest }) =>
      nvme({
        ...rest,
        disk: useGiven && given ? given : open(disk ?? { kind: "memory", size: 64 * 1024 * 1024 }),
      } as NvmeOptions),
    edu: (options) => edu({ ...options, after }),
    passive: (options) => passive(options as unknown as PassiveOptions),
    e1000e: (options) => new E1000eDevice(options),
    "ich9-ahci": () => new Ich9Ahci(),
    "ich9-intel-hda": () => new HdaDevice({ now }),
    "ich9-lpc": (options) => new Ich9Lpc(options),
    "ich9-smbus": () => new Ich9Smbus(),
    ehci: (options) => new EhciDevice({ ...options, after }),
    "nec-xhci": (options) => new XhciDevice({ ...options, now }),
    "pci-testdev": () => new PciTestDevice(),
    "q35-host-bridge": (options) => new Q35HostBridge(options),
    uhci: (options) => new UhciDevice({ ...options, after }),
    vga: (options) => new VgaDevice(options),
    "virtio-serial": () => new VirtioSerial(),
    xhci: () => passive(XHCI),
  };
  return { models, disks };
}

function openDisk(description: DiskDescription): Disk {
  switch (description.kind) {
    case "memory":
      return memoryDisk(description.size);
    case "null":
      return nullDisk(description.size);
    case "file":
      return fileDisk(description.path, { readonly: description.readonly ?? false });
  }
}
