// A modelled host for tests: edu alone on the root bus, an NVMe and a passive function behind ports of their own, and
// three functions behind a PCIe-to-PCI bridge that share a group. The IOMMU driver is a flat one: bus address = host
// physical address, with counters of what the core asked of it.

import type { Arch } from "@minivmm/host";
import { ENODEV, ENOTTY, EPERM } from "@minivmm/host";
import { KernelError, type KernelProfile, ManualClock, ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { type IommuDomain, PciTopology } from "@minivmm/pci";
import { edu, memoryDisk, nvme, passive } from "@minivmm/pci/devices";
import { iommuGroupOf, VfioContainer, VfioGroup } from "../src/index.ts";
import {
  type IommuAttachable,
  type IommuDriver,
  type IommuInstance,
  VfioCore,
  type VfioCoreOptions,
} from "../src/model/index.ts";

export const FLAT_IOMMU = 1;

export class FlatIommu implements IommuDriver {
  readonly name = "flat";
  readonly allowsNoiommu = false;
  readonly live = new Set<FlatInstance>();
  /** Makes attachGroup fail for this group. */
  refuse: number | null = null;
  readonly #kernel: ModelKernel;

  constructor(kernel: ModelKernel) {
    this.#kernel = kernel;
  }

  checkExtension(ext: number): number {
    return ext === FLAT_IOMMU || ext === 9 ? 1 : 0;
  }

  open(type: number): IommuInstance {
    if (type !== FLAT_IOMMU) throw new KernelError(ENODEV);
    const instance = new FlatInstance(this, this.#kernel);
    this.live.add(instance);
    return instance;
  }
}

class FlatInstance implements IommuInstance {
  readonly groups = new Set<IommuAttachable>();
  readonly #driver: FlatIommu;
  readonly #domain: IommuDomain;

  constructor(driver: FlatIommu, kernel: ModelKernel) {
    this.#driver = driver;
    this.#domain = {
      name: "flat",
      read: (hi, lo, into) => kernel.physical.read(hi * 2 ** 32 + lo, into),
      write: (hi, lo, from) => kernel.physical.write(hi * 2 ** 32 + lo, from),
    };
  }
  attachGroup(group: IommuAttachable): void {
    if (group.id === this.#driver.refuse) throw new KernelError(EPERM);
    this.groups.add(group);
    group.iommuGroup.domain = this.#domain;
  }
  detachGroup(group: IommuAttachable): void {
    if (!this.groups.delete(group)) throw new Error("detached twice");
  }
  ioctl(): number {
    return -ENOTTY;
  }
  checkExtension(ext: number): number {
    return this.#driver.checkExtension(ext);
  }
  release(): void {
    if (this.groups.size > 0) throw new Error("released with groups");
    this.#driver.live.delete(this);
  }
}

export interface TestHostOptions extends VfioCoreOptions {
  arch?: Arch;
  profile?: KernelProfile;
}

export const EDU = "0000:00:01.0";
export const NVME = "0000:01:00.0";
export const PASSIVE = "0000:02:00.0";
export const BRIDGED = "0000:04:01.0";
export const BRIDGED_FREE = "0000:04:02.0";
export const BRIDGED_HOST = "0000:04:03.0";

export function testHost(options: TestHostOptions = {}) {
  const clock = new ManualClock();
  const kernel = new ModelKernel({
    clock,
    ...(options.arch && { arch: options.arch }),
    ...(options.profile && { profile: options.profile }),
  });
  const device = edu({ after: (ms, run) => clock.after(ms, run) });
  const sibling = edu();
  const other = passive({
    vendor: 0x8086,
    device: 0x10d3,
    classCode: 0x020000,
    interruptPin: 1,
    express: { flr: true },
    pm: {},
    msi: { vectors: 4 },
    bars: [
      { index: 0, type: "mem32", size: 0x20000 },
      { index: 2, type: "io", size: 0x20 },
      { index: 3, type: "mem32", size: 0x100 },
      { index: 6, type: "rom", size: 0x1000 },
    ],
    rom: romImage(),
  });
  const legacy = () =>
    passive({ vendor: 0x8086, device: 0x100e, classCode: 0x020000, bars: [{ index: 0, type: "mem32", size: 0x1000 }] });
  const topology = PciTopology.fromDescription({
    barAlignment: kernel.pageSize,
    domains: [
      {
        devices: [
          { at: "01.0", device, driver: "vfio-pci" },
          {
            at: "02.0",
            bridge: "root-port",
            driver: "pcieport",
            children: [{ at: "00.0", device: nvme({ disk: memoryDisk(0x10000) }), driver: "vfio-pci" }],
          },
          {
            at: "03.0",
            bridge: "root-port",
            driver: "pcieport",
            children: [{ at: "00.0", device: other, driver: "vfio-pci" }],
          },
          {
            at: "04.0",
            bridge: "root-port",
            driver: "pcieport",
            children: [
              {
                at: "00.0",
                bridge: "pcie-pci-bridge",
                children: [
                  { at: "01.0", device: sibling, driver: "vfio-pci" },
                  { at: "02.0", device: legacy() },
                  { at: "03.0", device: legacy() },
                ],
              },
            ],
          },
        ],
      },
    ],
  });
  publish(kernel, topology);
  const core = new VfioCore(kernel, topology, options);
  const iommu = new FlatIommu(kernel);
  core.registerIommuDriver(iommu);
  return { kernel, topology, core, iommu, clock, edu: device, process: kernel.spawn({ capabilities: ["SYS_RAWIO"] }) };
}

export type TestHost = ReturnType<typeof testHost>;

function romImage(): Uint8Array {
  const rom = new Uint8Array(512);
  rom.set([0x55, 0xaa, 1], 0);
  rom[0x18] = 0x20;
  rom.set(new TextEncoder().encode("PCIR"), 0x20);
  rom[0x30] = 1;
  rom[0x35] = 0x80;
  return rom;
}

function publish(kernel: ModelKernel, topology: PciTopology): void {
  for (const fn of topology.functions) {
    kernel.sysfs.dir(`/sys/bus/pci/devices/${fn.name}`);
    if (!fn.group) continue;
    kernel.sysfs.link(`/sys/bus/pci/devices/${fn.name}/iommu_group`, `/sys/kernel/iommu_groups/${fn.group.id}`);
    kernel.sysfs.link(`/sys/kernel/iommu_groups/${fn.group.id}/devices/${fn.name}`, `/sys/bus/pci/devices/${fn.name}`);
  }
}

/** Container and group, attached, with the flat IOMMU. */
export function attach(process: ModelProcess, bdf: string) {
  const container = VfioContainer.open(process);
  const group = VfioGroup.open(process, iommuGroupOf(process, bdf));
  group.setContainer(container);
  container.setIommu(FLAT_IOMMU);
  return { container, group };
}

export function openDevice(process: ModelProcess, bdf: string) {
  const { container, group } = attach(process, bdf);
  return { container, group, device: group.device(bdf) };
}

/** An eventfd with a way to take its count. */
export function eventFd(process: ModelProcess, initial = 0) {
  const fd = process.eventfd(initial, 0o4000);
  return {
    fd,
    take(): number {
      const bytes = new Uint8Array(8);
      return process.read(fd, bytes) === 8 ? Number(new DataView(bytes.buffer).getBigUint64(0, true)) : 0;
    },
    add(n = 1): void {
      process.write(fd, new Uint8Array(new BigUint64Array([BigInt(n)]).buffer));
    },
  };
}
