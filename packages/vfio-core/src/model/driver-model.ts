/**
 * Binding PCI drivers: which driver a function gets and loses, and the files under /sys/bus/pci that ask for it.
 *
 * An ordinary driver that is bound to a member keeps the whole IOMMU group for the host; while user space owns the group
 * its bind is refused with EBUSY. Unbinding an open vfio-pci device blocks its writer on a real kernel; here the write
 * returns, the unbinding completes at the last close, and whoever wants the device meanwhile gets his turn then.
 * Source: drivers/base/bus.c, drivers/base/dd.c, drivers/pci/pci-driver.c.
 */
import { EBUSY, ENODEV } from "@minivmm/host";
import type { ModelKernel } from "@minivmm/host/model";
import {
  bindDriver,
  disableSriov,
  enableSriov,
  type IovHost,
  type PciFunction,
  type PciTopology,
  unbindDriver,
} from "@minivmm/pci";
import { publishDriver, publishOverride } from "./drivers/attributes.ts";
import { DeviceLocks } from "./drivers/device-lock.ts";
import { type DriverHooks, PciDriver } from "./drivers/driver.ts";
import { hostDrivers } from "./drivers/host-drivers.ts";
import { nameIn } from "./drivers/kstrto.ts";
import { PCI_ANY_ID, type PciDeviceId } from "./drivers/pci-ids.ts";
import { linkVirtfn, publishSriov, unlinkVirtfn } from "./drivers/sriov-attributes.ts";

export type { DriverHooks } from "./drivers/driver.ts";
export type { PciDeviceId } from "./drivers/pci-ids.ts";

const BUS = "/sys/bus/pci";
const VFIO_PCI = "vfio-pci";
const OVERRIDE: PciDeviceId = { vendor: PCI_ANY_ID, device: PCI_ANY_ID, overrideOnly: true };

/** What the driver model needs of the kernel around it. */
export interface DriverHost {
  readonly kernel: ModelKernel;
  readonly topology: PciTopology;
  /** What vfio-pci does. */
  readonly vfioPci: DriverHooks;
  /** A line for the kernel's log about a function. */
  report(fn: PciFunction, line: string): void;
  /** A virtual function appeared and has no driver yet. */
  captured(virtfn: PciFunction): void;
  /** A driver has it now. */
  bound(fn: PciFunction): void;
}

export class DriverModel implements IovHost {
  readonly kernel: ModelKernel;
  readonly topology: PciTopology;
  readonly locks = new DeviceLocks();
  readonly #host: DriverHost;
  /** In the order of registration, in which they are asked. */
  readonly #drivers = new Map<string, PciDriver>();

  constructor(host: DriverHost) {
    this.#host = host;
    this.kernel = host.kernel;
    this.topology = host.topology;
    this.#register(new PciDriver(VFIO_PCI, [OVERRIDE], host.vfioPci));
    const services = {
      report: (fn: PciFunction, line: string) => this.report(fn, line),
      sriovConfigure: (fn: PciFunction, count: number) => this.sriovConfigure(fn, count),
    };
    for (const driver of hostDrivers(services)) this.#register(driver);
    this.kernel.sysfs.file(`${BUS}/drivers_probe`, { write: (text) => this.#probeByName(nameIn(text)) });
    for (const fn of this.topology.functions) this.#publish(fn);
    this.topology.watch({
      added: (fn) => {
        if (fn.physfn) host.captured(fn);
        this.#publish(fn);
      },
      removed: (fn) => {
        this.kernel.sysfs.remove(`${BUS}/devices/${fn.name}`);
      },
    });
  }

  /** Adds a driver that binds functions with these ids. Registering again adds ids. */
  registerDriver(name: string, ids: readonly PciDeviceId[] = [], hooks: DriverHooks = {}): void {
    const known = this.#drivers.get(name);
    if (known) known.addFixed(ids);
    else this.#register(new PciDriver(name, ids, hooks));
  }

  /** driver_override and bind in one step: 0 or -errno. */
  bindTo(fn: PciFunction, name: string): number {
    if (!this.#drivers.has(name)) this.registerDriver(name);
    return this.locks.run(fn, () => {
      if (fn.driver !== null) return -EBUSY;
      fn.driverOverride = name;
      return this.#bind(this.#drivers.get(name) as PciDriver, fn);
    });
  }

  unbindFrom(fn: PciFunction): number {
    if (fn.driver === null) return -ENODEV;
    return this.locks.run(fn, () => {
      this.#detach(fn, () => undefined);
      return 0;
    });
  }

  driverOf(fn: PciFunction): PciDriver | undefined {
    return this.#drivers.get(fn.driver ?? "");
  }

  /** What a driver does to have virtual functions when it has no say in it: `count`, 0 or -errno. */
  sriovConfigure(physfn: PciFunction, count: number): number {
    if (count > 0) return enableSriov(this, physfn, count) || count;
    this.locks.hold(physfn);
    disableSriov(this, physfn, () => this.locks.release(physfn));
    return 0;
  }

  report(fn: PciFunction, line: string): void {
    this.#host.report(fn, line);
  }

  appeared(virtfn: PciFunction, index: number): void {
    linkVirtfn(this, virtfn, index);
    this.#attach(virtfn);
  }

  leaving(virtfn: PciFunction, index: number, done: () => void): void {
    unlinkVirtfn(this, virtfn, index);
    this.locks.run(virtfn, () => {
      this.#detach(virtfn, done, true);
      return 0;
    });
  }

  #register(driver: PciDriver): void {
    this.#drivers.set(driver.name, driver);
    publishDriver(this.kernel.sysfs, driver, {
      find: (name) => this.#find(name),
      bind: (fn) => this.locks.run(fn, () => this.#bind(driver, fn)),
      unbind: (fn) => this.unbindFrom(fn),
      newIds: () => {
        for (const fn of [...this.topology.functions]) {
          if (driver.matches(fn)) this.locks.run(fn, () => Math.min(0, this.#probe(driver, fn)));
        }
      },
    });
  }

  #publish(fn: PciFunction): void {
    if (fn.driver !== null) {
      if (!this.#drivers.has(fn.driver)) {
        this.registerDriver(fn.driver, [{ vendor: fn.vendorId, device: fn.deviceId }]);
      }
      this.#link(fn, fn.driver);
    }
    publishOverride(this.kernel, fn);
    publishSriov(this, fn);
  }

  #link(fn: PciFunction, driver: string): void {
    const { sysfs } = this.kernel;
    sysfs.link(`${BUS}/devices/${fn.name}/driver`, `${BUS}/drivers/${driver}`);
    sysfs.link(`${BUS}/drivers/${driver}/${fn.name}`, `${BUS}/devices/${fn.name}`);
  }

  #unlink(fn: PciFunction): void {
    this.kernel.sysfs.remove(`${BUS}/devices/${fn.name}/driver`);
    this.kernel.sysfs.remove(`${BUS}/drivers/${fn.driver}/${fn.name}`);
  }

  #find(name: string): PciFunction | undefined {
    return this.topology.functions.find((fn) => fn.name === name);
  }

  /** 0; -errno when the driver was not even asked; the errno without its sign when it refused (really_probe). */
  #probe(driver: PciDriver, fn: PciFunction): number {
    if (this.#find(fn.name) !== fn) return -ENODEV;
    const bound = bindDriver(fn, driver.name);
    if (bound !== 0) return bound;
    const allowed = !fn.physfn || fn.driverOverride !== null || (fn.physfn.iov?.driversAutoprobe ?? true);
    const probed = allowed ? (driver.hooks.probe?.(fn) ?? 0) : -ENODEV;
    if (probed !== 0) {
      unbindDriver(fn);
      return Math.abs(probed);
    }
    this.#link(fn, driver.name);
    this.#host.bound(fn);
    return 0;
  }

  /** 0 or -errno, whoever refused (device_driver_attach). */
  #bind(driver: PciDriver, fn: PciFunction): number {
    const probed = this.#probe(driver, fn);
    return probed > 0 ? -probed : probed;
  }

  /** The first driver that takes the function gets it; that none did is no error, that one could not be asked is. */
  #attach(fn: PciFunction): number {
    if (fn.driver !== null) return 0;
    for (const driver of this.#drivers.values()) {
      if (!driver.matches(fn)) continue;
      const probed = this.#probe(driver, fn);
      if (probed <= 0) return probed;
    }
    return 0;
  }

  /** Takes the driver away, however long that takes; `forever`: nobody gets a turn after. */
  #detach(fn: PciFunction, done: () => void, forever = false): void {
    const driver = this.driverOf(fn);
    const free = (): void => {
      if (driver) {
        const left = fn.iov?.numVfs ?? 0;
        if (left > 0) this.report(fn, "driver left SR-IOV enabled after remove");
        this.#unlink(fn);
        unbindDriver(fn);
      }
      if (forever) this.locks.forsake(fn);
      this.locks.release(fn);
      done();
    };
    this.locks.hold(fn);
    if (driver?.hooks.remove) driver.hooks.remove(fn, free);
    else free();
  }

  #probeByName(name: string): number {
    const fn = this.#find(name);
    return fn ? this.locks.run(fn, () => this.#attach(fn)) : -ENODEV;
  }
}
