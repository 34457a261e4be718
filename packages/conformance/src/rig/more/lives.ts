// Cases in which containers, groups, devices and virtual machines come, meet and go in any order; files of drivers are
// written in any order; and regions of devices are read and written at any place.
// Invariants: a device that is opened is never unbound, since that would wait for its end.

import type { Json } from "../../lines.ts";
import type { RecordedMachine } from "../../machine.ts";
import type { X86Case } from "../../x86/format.ts";
import { caseOf, ioctl, Numbers, opened } from "./builder.ts";

/** Devices of three groups: two of them in one. */
const USED = ["edu0", "mf0", "mf4", "nvme0"];
const CONTAINERS = ["C0", "C1"];
const GROUPS: Readonly<Record<string, string>> = { edu0: "Ge", mf0: "Gm", mf4: "Gm", nvme0: "Gn" };

export function randomLives(machine: RecordedMachine, seeds: number, steps: number): X86Case[] {
  return Array.from({ length: seeds }, (_, seed) => {
    const numbers = new Numbers(70_000 + seed);
    const begin: Json[] = [
      { op: "open", path: "/dev/vfio/vfio", as: "C0" },
      { op: "open", path: "/dev/vfio/vfio", as: "C1" },
      ...USED.slice(0, 2).map((device) => ({ op: "open", path: `@group:${device}`, as: GROUPS[device] })),
      { op: "open", path: "@group:nvme0", as: "Gn" },
      { op: "open", path: "/dev/kvm", as: "K" },
      ioctl("K", "KVM_CREATE_VM", { val: 0, as: "V" }),
      ioctl("V", "KVM_CREATE_DEVICE", { in: { type: 4, flags: 0 }, as: "P" }),
      { op: "mmap", as: "M", size: 0x1_0000, align: 0x1_0000, nohuge: 1 },
    ];
    const body = Array.from({ length: steps }, () => lifeSteps(numbers)).flat();
    return caseOf(machine, `random.life.${seed}`, "descriptors that come, meet and go in any order", [
      ...begin,
      ...body,
    ]);
  });
}

function lifeSteps(numbers: Numbers): Json[] {
  const container = numbers.pick(CONTAINERS);
  const device = numbers.pick(USED);
  const group = GROUPS[device] as string;
  const file = `D${device}`;
  switch (numbers.below(16)) {
    case 0:
    case 1:
    case 2:
      return [ioctl(group, "VFIO_GROUP_SET_CONTAINER", { fdp: container }), status(group)];
    case 3:
      return [ioctl(group, "VFIO_GROUP_UNSET_CONTAINER", {}), status(group)];
    case 4:
    case 5:
      return [ioctl(container, "VFIO_SET_IOMMU", { val: numbers.pick([1, 3, 3, 6, 8]) })];
    case 6:
    case 7:
      return [ioctl(group, "VFIO_GROUP_GET_DEVICE_FD", { str: `@bdf:${device}`, as: file })];
    case 8:
      return [{ op: "close", fd: file }];
    case 9:
      return [
        { op: "close", fd: group },
        { op: "open", path: `@group:${device}`, as: group },
      ];
    case 10:
      return numbers.below(3) > 0
        ? []
        : [
            { op: "close", fd: container },
            { op: "open", path: "/dev/vfio/vfio", as: container },
          ];
    case 11: {
      const attr = numbers.pick([1, 1, 2]);
      return [ioctl("P", "KVM_SET_DEVICE_ATTR", { in: { flags: 0, group: 1, attr, addr: { fdp: group } } })];
    }
    case 12: {
      const iova = 0x10_0000 + numbers.below(8) * 4096;
      const map = { argsz: 32, flags: 3, vaddr: "&M", iova, size: 4096 * (1 + numbers.below(3)) };
      return [ioctl(container, "VFIO_IOMMU_MAP_DMA", { in: map }), { op: "vmlck" }];
    }
    case 13:
      return [
        ioctl(container, "VFIO_IOMMU_UNMAP_DMA", { in: { argsz: 24, flags: 0, iova: 0x10_0000, size: 0x1_0000 } }),
        { op: "vmlck" },
      ];
    case 14:
      return [1, 3, 6, 8, 9].map((val) => ioctl(container, "VFIO_CHECK_EXTENSION", { val }));
    default:
      return [
        ioctl(file, "VFIO_DEVICE_GET_INFO", { in: { argsz: 256 } }),
        { op: "pread", fd: file, region: 7, off: 4, size: 2 },
        ioctl(file, "VFIO_DEVICE_PCI_HOT_RESET", { in: { argsz: 16, flags: 0, count: 1 }, fds: [`$${group}`] }),
      ];
  }
}

const status = (group: string): Json => ioctl(group, "VFIO_GROUP_GET_STATUS", { in: { argsz: 8 } });

const BOUND = ["mf1", "mf2", "mf3", "mf4", "xhci0"];

/** Files of drivers and devices written in any order, with a look at what it makes of the group. */
export function randomBinding(machine: RecordedMachine, seeds: number, steps: number): X86Case[] {
  return Array.from({ length: seeds }, (_, seed) => {
    const numbers = new Numbers(80_000 + seed);
    const body = Array.from({ length: steps }, () => bindingSteps(numbers)).flat();
    return caseOf(machine, `random.bind.${seed}`, "files of drivers written in any order", body);
  });
}

function bindingSteps(numbers: Numbers): Json[] {
  const device = numbers.pick(BOUND);
  const driver = numbers.pick(["vfio-pci", "vfio-pci", "pci-stub"]);
  const write = (path: string, text: string): Json => ({ op: "writetext", path, text });
  const look: Json[] = [
    { op: "readlink", path: `@sys:${device}/driver` },
    { op: "readtext", path: `@sys:${device}/driver_override` },
  ];
  switch (numbers.below(6)) {
    case 0:
      return [write(`/sys/bus/pci/drivers/${driver}/unbind`, `@bdf:${device}`), ...look];
    case 1:
      return [write(`/sys/bus/pci/drivers/${driver}/bind`, `@bdf:${device}`), ...look];
    case 2:
      return [
        write(`@sys:${device}/driver_override`, numbers.pick(["vfio-pci", "pci-stub\n", "\n", "nosuch"])),
        ...look,
      ];
    case 3:
      return [write("/sys/bus/pci/drivers_probe", `@bdf:${device}`), ...look];
    case 4:
      return [{ op: "bind", dev: device, driver: numbers.pick(["none", "vfio-pci", "pci-stub"]) }, ...look];
    default:
      return [{ op: "open", path: `@group:${device}`, as: "G" }, status("G"), { op: "close", fd: "G" }];
  }
}

/** Registers below it begin something when they are written. */
const DMA_SOURCE = 0x80;

/** Regions of an edu device, whose registers hold still, and regions that are not there. */
export function randomRegions(machine: RecordedMachine, seeds: number, steps: number): X86Case[] {
  return Array.from({ length: seeds }, (_, seed) => {
    const numbers = new Numbers(85_000 + seed);
    const body = Array.from({ length: steps }, () => {
      const region = numbers.pick([0, 0, 0, 0, 1, 6, 8, 9]);
      const off = numbers.pick([0, 0x80, 0x88, 0x88, 0xf_fff8, 0x10_0000]) + numbers.pick([0, 0, 0, 1, 2, 3, 4]);
      const size = numbers.pick([1, 2, 3, 4, 4, 5, 7, 8, 12]);
      const bytes = Array.from({ length: size }, () => numbers.below(256).toString(16).padStart(2, "0")).join("");
      const read = { op: "pread", fd: "D", region, off, size };
      return off < DMA_SOURCE || numbers.below(2) === 0
        ? [read]
        : [{ op: "pwrite", fd: "D", region, off, bytes }, read];
    }).flat();
    return caseOf(machine, `random.region.${seed}`, "regions read and written at any place", [
      ...opened("edu0"),
      ...body,
    ]);
  });
}
