/**
 * VFIO on a modelled kernel: /dev/vfio/vfio, the group nodes, the registered IOMMU drivers and vfio-pci devices.
 *
 * One per kernel. Functions that are bound to vfio-pci when it is made are registered at once; later ones through the
 * driver model. Source: drivers/vfio/vfio_main.c, group.c (vfio_group_find_or_alloc), vfio_pci_core.c.
 */
import { EBUSY, EINVAL, ENOENT, MinivmmError } from "@minivmm/host";
import type { KernelProfile, ModelKernel } from "@minivmm/host/model";

import type { PciFunction, PciTopology } from "@minivmm/pci";
import { VfioError } from "../error.ts";
import { type VfioIoctls, vfioIoctls } from "../uapi.ts";
import { boolParameter } from "./bool-parameter.ts";
import { VfioContainer } from "./container.ts";
import { type DeviceIoctlHandler, VfioPciDevice } from "./device.ts";
import { DeviceNodes } from "./device-nodes.ts";
import { deviceSet, tryResetSet } from "./device-set.ts";
import { type DriverHooks, DriverModel } from "./driver-model.ts";
import { VfioGroup } from "./group.ts";
import { VfioGroupFile } from "./group-file.ts";
import type { IommuDriver } from "./iommu-driver.ts";
import { type IommufdKernel, type IommufdOptions, installIommufd } from "./iommufd/index.ts";
import { InterruptLines } from "./irq/lines.ts";
import { Noiommu } from "./noiommu.ts";
import { type Profile, profileOf } from "./profile.ts";
import type { VfioHost } from "./vfio-host.ts";
import { VfioSriov } from "./vfio-sriov.ts";

export interface VfioCoreOptions {
  /** The IOMMU turns no-snoop DMA into snooped DMA, of all functions or of those asked for. Default: true on x86_64, false on ppc64le. */
  readonly enforcesSnoop?: boolean | ((fn: PciFunction) => boolean);
  /** Functions may have several MSI vectors (on x86: interrupt remapping). Default true. */
  readonly multiMsi?: boolean;
  /** MSI-X vectors can be added while MSI-X is on (6.12 only). Default: true on x86_64, false on ppc64le. */
  readonly dynamicMsix?: boolean;
  /** Module parameter of vfio-pci. Default false. */
  readonly nointxmask?: boolean;
  /** Module parameter of vfio-pci, which can be changed later: physical functions may have virtual ones. Default false. */
  readonly enableSriov?: boolean;
  /** CONFIG_VFIO_NOIOMMU, with enable_unsafe_noiommu_mode off or on at boot. Default: not built. */
  readonly noiommu?: "off" | "on";
  /** CONFIG_IOMMUFD (6.12 only): /dev/iommu, on this hardware. Default: not built. */
  readonly iommufd?: IommufdOptions;
  /** CONFIG_VFIO_DEVICE_CDEV: devices have nodes of their own; needs `iommufd`. Default false. */
  readonly deviceCdev?: boolean;
}

export class VfioCore implements VfioHost<VfioPciDevice> {
  readonly kernel: ModelKernel;
  readonly topology: PciTopology;
  readonly ioctls: VfioIoctls;
  readonly profile: Profile;
  readonly enforcesSnoop: (fn: PciFunction) => boolean;
  readonly multiMsi: boolean;
  readonly dynamicMsix: boolean;
  readonly nointxmask: boolean;
  readonly lines = new InterruptLines();
  readonly deviceNodes: boolean;
  /** What all open iommufds share; null where the kernel is built without. */
  readonly iommufd: IommufdKernel | null;
  readonly drivers: DriverModel;
  enableSriov: boolean;
  /** Groups that have a registered device, by IOMMU group number. */
  readonly groups = new Map<number, VfioGroup<VfioPciDevice>>();
  /** Registered devices in bind order. */
  readonly devices = new Map<PciFunction, VfioPciDevice>();
  /** Newest first, as containers ask them. */
  readonly iommuDrivers: IommuDriver[] = [];
  readonly #deviceIoctls = new Map<number, DeviceIoctlHandler>();
  readonly #nodes = new Map<VfioGroup<VfioPciDevice>, { remove(): void }>();
  readonly #deviceNodes: DeviceNodes;
  readonly #noiommu: Noiommu | null;
  readonly #sriov: VfioSriov;

  constructor(kernel: ModelKernel, topology: PciTopology, options: VfioCoreOptions = {}) {
    const x86 = kernel.arch === "x86_64";
    this.kernel = kernel;
    this.topology = topology;
    this.ioctls = vfioIoctls(kernel.arch);
    this.profile = profileOf(kernel.profile);
    const { enforcesSnoop = x86 } = options;
    this.enforcesSnoop = typeof enforcesSnoop === "boolean" ? () => enforcesSnoop : enforcesSnoop;
    this.multiMsi = options.multiMsi ?? true;
    this.dynamicMsix = options.dynamicMsix ?? x86;
    this.nointxmask = options.nointxmask ?? false;
    this.deviceNodes = options.deviceCdev ?? false;
    this.enableSriov = options.enableSriov ?? false;
    const parameter = (value: boolean) => {
      this.enableSriov = value;
    };
    boolParameter(kernel.sysfs, "vfio_pci/enable_sriov", () => this.enableSriov, parameter);
    this.#sriov = new VfioSriov(this);
    checkBuild(kernel.profile, options);
    this.#noiommu = options.noiommu ? new Noiommu(kernel, topology, options.noiommu === "on") : null;
    if (this.#noiommu) this.registerIommuDriver(this.#noiommu);
    this.#deviceNodes = new DeviceNodes(kernel, this.deviceNodes);
    this.iommufd = options.iommufd ? installIommufd(kernel, options.iommufd, this.#noiommu !== null) : null;
    if (!options.iommufd?.servesContainer) {
      kernel.registerNode("/dev/vfio/vfio", () => new VfioContainer(this), 0o666);
    }
    for (const fn of topology.functions) if (fn.driver === "vfio-pci") this.probe(fn);
    this.drivers = new DriverModel(this);
  }

  get pageSize(): number {
    return this.kernel.pageSize;
  }

  registerIommuDriver(driver: IommuDriver): void {
    this.iommuDrivers.unshift(driver);
  }

  /** Lets another package answer an ioctl number of vfio-pci device files. */
  registerDeviceIoctl(request: number, handler: DeviceIoctlHandler): void {
    if (this.#deviceIoctls.has(request)) {
      throw new MinivmmError(`device ioctl 0x${request.toString(16)} is registered already`, {
        code: "IOCTL_EXISTS",
        details: { request },
      });
    }
    this.#deviceIoctls.set(request, handler);
  }

  deviceIoctl(request: number): DeviceIoctlHandler | undefined {
    return this.#deviceIoctls.get(request);
  }

  /** Binds a function to a driver by name: 0 or -errno, as a write to sysfs `bind` with a driver_override. */
  bind(bdf: string, driver: string): number {
    return this.drivers.bindTo(this.topology.get(bdf), driver);
  }

  /** Unbinds whatever driver a function has: 0 or -errno. An open vfio-pci device goes when its last user does. */
  unbind(bdf: string): number {
    return this.drivers.unbindFrom(this.topology.get(bdf));
  }

  device(bdf: string): VfioPciDevice | undefined {
    const fn = this.topology.find(bdf);
    return fn && this.devices.get(fn);
  }

  /** The driver vfio-pci. */
  readonly vfioPci: DriverHooks = {
    probe: (fn) => this.probe(fn),
    remove: (fn, done) => this.remove(fn, done),
    sriovConfigure: (fn, count) => (this.enableSriov ? this.#sriov.configure(fn, count) : -ENOENT),
  };

  captured(virtfn: PciFunction): void {
    const { group } = virtfn;
    if (group) this.report(virtfn, `Adding to iommu group ${group.id}`);
    this.#sriov.captured(virtfn);
  }

  bound(fn: PciFunction): void {
    this.#sriov.bound(fn);
  }

  report(fn: PciFunction, line: string): void {
    this.kernel.log.push(`${fn.driver ?? "pci"} ${fn.name}: ${line}`);
  }

  /** vfio-pci's probe: 0 or -errno. */
  probe(fn: PciFunction): number {
    if (fn.isBridge) return -EINVAL;
    if (fn.iov && fn.iov.numVfs > 0) {
      this.report(fn, "Cannot bind to PF with SR-IOV enabled");
      return -EBUSY;
    }
    if (this.devices.has(fn)) return -EBUSY;
    this.#noiommu?.adopt(fn);
    if (!fn.group) return -EINVAL;
    this.#register(fn);
    return 0;
  }

  /** vfio-pci's remove. Calls `done` now, or after the last close; until then REQ asks the user to go. */
  remove(fn: PciFunction, done: () => void): void {
    this.#sriov.disable(fn, () => this.#remove(fn, done));
  }

  #remove(fn: PciFunction, done: () => void): void {
    const device = this.devices.get(fn);
    const finish = () => {
      if (device) this.#unregister(device);
      done();
    };
    if (!device?.inUse) {
      finish();
      return;
    }
    // Whoever unbinds it meanwhile waits behind the first, for the device's lock; only the first asks the user.
    if (device.removing) return;
    device.removing = true;
    device.onIdle = finish;
    if (this.profile.delistsEarly) this.#deviceNodes.hide(device);
    this.#askForReturn(device);
  }

  aloneInPage(fn: PciFunction, start: number, end: number): boolean {
    return this.topology.functions.every((other) =>
      other.bars.every((bar) => {
        const self = other === fn && bar.address === start;
        return self || bar.type === "io" || bar.address >= end || bar.address + bar.size <= start;
      }),
    );
  }

  tryResetSet(device: VfioPciDevice): void {
    tryResetSet(deviceSet(device, this.devices.values()));
  }

  /** Members of the device's reset set, in bind order. */
  deviceSetOf(device: VfioPciDevice): VfioPciDevice[] {
    return deviceSet(device, this.devices.values());
  }

  #askForReturn(device: VfioPciDevice, count = 0): void {
    if (!device.inUse) return;
    if (device.openCount > 0 && device.state.irqs.req.signal()) {
      if (count % 10 === 0) device.report(`Relaying device request to user (#${count})`);
    } else if (count === 0) {
      device.report("No device request channel registered, blocked until released by user");
    }
    this.kernel.clock.after(10_000, () => this.#askForReturn(device, count + 1));
  }

  #register(fn: PciFunction): void {
    const { group: iommuGroup } = fn;
    if (!iommuGroup) return;
    let group = this.groups.get(iommuGroup.id);
    if (!group) {
      group = new VfioGroup<VfioPciDevice>(iommuGroup, this.#noiommu?.owns(iommuGroup) ? "noiommu" : "iommu");
      this.groups.set(group.id, group);
      this.#nodes.set(group, this.#publish(group));
    }
    const device = new VfioPciDevice(fn, group, this, this.#sriov.tokenOf(fn));
    group.devices.push(device);
    this.devices.set(fn, device);
    this.#deviceNodes.add(device);
  }

  #publish(group: VfioGroup<VfioPciDevice>): { remove(): void } {
    return this.kernel.registerNode(`/dev/vfio/${group.nodeName}`, (process) =>
      VfioGroupFile.open(group, this, process),
    );
  }

  #unregister(device: VfioPciDevice): void {
    const { group } = device;
    this.devices.delete(device.fn);
    this.#deviceNodes.remove(device);
    group.devices.splice(group.devices.indexOf(device), 1);
    if (group.devices.length > 0) return;
    if (group.container) group.detachContainer();
    this.groups.delete(group.id);
    this.#nodes.get(group)?.remove();
    this.#nodes.delete(group);
    this.#noiommu?.abandon(device.fn);
  }
}

/** Throws VfioError OPTION for a kernel that nobody could build. */
function checkBuild(kernel: KernelProfile, { iommufd, deviceCdev, noiommu }: VfioCoreOptions): void {
  const wrong =
    (iommufd || deviceCdev) && kernel !== "6.12"
      ? `Linux ${kernel} has no iommufd and no device nodes`
      : deviceCdev && !iommufd
        ? "device nodes need iommufd"
        : noiommu && kernel === "3.11"
          ? "Linux 3.11 has no mode without an IOMMU"
          : null;
  if (wrong)
    throw new VfioError(wrong, { code: "OPTION", details: { kernel }, hint: "Choose another kernel profile." });
}
