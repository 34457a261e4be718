/**
 * Binding PCI drivers through sysfs: drivers/NAME/{bind,unbind,new_id,remove_id}, drivers_probe, driver_override.
 *
 * An ordinary driver that is bound to a member keeps the whole IOMMU group for the host; while user space owns the group
 * its bind is refused with EBUSY. Source: drivers/base/bus.c, drivers/pci/pci-driver.c.
 * Unbinding an open vfio-pci device blocks its writer on a real kernel; here the write returns and the unbinding
 * completes at the last close.
 */
import { EBUSY, EEXIST, EINVAL, ENODEV } from "@minivmm/host";
import type { ModelKernel } from "@minivmm/host/model";
import {
  bindDriver,
  PCI_CLASS_REVISION,
  PCI_VENDOR_ID,
  type PciFunction,
  type PciTopology,
  unbindDriver,
} from "@minivmm/pci";

const BUS = "/sys/bus/pci";
const VFIO_PCI = "vfio-pci";
const ANY = 0xffffffff;

/** `struct pci_device_id`: what a driver takes. */
export interface PciDeviceId {
  readonly vendor: number;
  readonly device: number;
  readonly class?: number;
  readonly classMask?: number;
}

/** What the driver model needs of the kernel around it: vfio-pci's own probe and remove among it. */
export interface DriverHost {
  readonly kernel: ModelKernel;
  readonly topology: PciTopology;
  /** vfio-pci's probe: 0 or -errno. */
  probe(fn: PciFunction): number;
  /** vfio-pci's remove; `done` runs when the device is free. */
  remove(fn: PciFunction, done: () => void): void;
}

interface Driver {
  readonly name: string;
  ids: PciDeviceId[];
}

/** Drivers every modelled host has, with what they take by themselves. */
const BUILT_IN: readonly Driver[] = [
  { name: VFIO_PCI, ids: [] },
  { name: "pci-stub", ids: [] },
  { name: "pcieport", ids: [{ vendor: ANY, device: ANY, class: 0x060400, classMask: 0xffffff }] },
  { name: "nvme", ids: [{ vendor: ANY, device: ANY, class: 0x010802, classMask: 0xffffff }] },
];

export class DriverModel {
  readonly #core: DriverHost;
  readonly #drivers = new Map<string, Driver>();

  constructor(core: DriverHost) {
    this.#core = core;
    const { sysfs } = core.kernel;
    for (const { name, ids } of BUILT_IN) this.registerDriver(name, ids);
    sysfs.file(`${BUS}/drivers_probe`, { write: (text) => this.#probeByName(text.trim()) });
    for (const fn of core.topology.functions) this.#publish(fn);
  }

  /** Adds a driver that binds functions with these ids. Registering again adds ids. */
  registerDriver(name: string, ids: readonly PciDeviceId[] = []): void {
    const known = this.#drivers.get(name);
    if (known) {
      known.ids.push(...ids);
      return;
    }
    const driver: Driver = { name, ids: [...ids] };
    this.#drivers.set(name, driver);
    const { sysfs } = this.#core.kernel;
    const at = `${BUS}/drivers/${name}`;
    sysfs.file(`${at}/bind`, { write: (text) => this.#bind(driver, text.trim()) });
    sysfs.file(`${at}/unbind`, { write: (text) => this.#unbind(driver, text.trim()) });
    sysfs.file(`${at}/new_id`, { write: (text) => this.#newId(driver, text) });
    sysfs.file(`${at}/remove_id`, { write: (text) => this.#removeId(driver, text) });
  }

  /** driver_override and bind in one step: 0 or -errno. */
  bindTo(fn: PciFunction, name: string): number {
    if (!this.#drivers.has(name)) this.registerDriver(name);
    if (fn.driver !== null) return -EBUSY;
    fn.driverOverride = name;
    return this.#attach(this.#drivers.get(name) as Driver, fn);
  }

  unbindFrom(fn: PciFunction): number {
    if (fn.driver === null) return -ENODEV;
    const detached = () => {
      unbindDriver(fn);
      this.#core.kernel.sysfs.remove(`${BUS}/devices/${fn.name}/driver`);
    };
    if (fn.driver === VFIO_PCI) this.#core.remove(fn, detached);
    else detached();
    return 0;
  }

  #publish(fn: PciFunction): void {
    const { sysfs } = this.#core.kernel;
    if (fn.driver !== null) {
      if (!this.#drivers.has(fn.driver)) this.registerDriver(fn.driver, [idOf(fn)]);
      this.#link(fn, fn.driver);
    }
    sysfs.file(`${BUS}/devices/${fn.name}/driver_override`, {
      read: () => `${fn.driverOverride ?? "(null)"}\n`,
      write: (text) => {
        fn.driverOverride = text.trim() || null;
      },
    });
  }

  #link(fn: PciFunction, driver: string): void {
    this.#core.kernel.sysfs.link(`${BUS}/devices/${fn.name}/driver`, `${BUS}/drivers/${driver}`);
  }

  #find(name: string): PciFunction | undefined {
    return this.#core.topology.functions.find((fn) => fn.name === name);
  }

  #matches(driver: Driver, fn: PciFunction): boolean {
    if (fn.driverOverride !== null) return fn.driverOverride === driver.name;
    const own = idOf(fn);
    const classCode = fn.readConfig(PCI_CLASS_REVISION, 4) >>> 8;
    return driver.ids.some(
      (id) =>
        (id.vendor === ANY || id.vendor === own.vendor) &&
        (id.device === ANY || id.device === own.device) &&
        ((classCode ^ (id.class ?? 0)) & (id.classMask ?? 0)) === 0,
    );
  }

  #attach(driver: Driver, fn: PciFunction): number {
    if (fn.driver !== null) return -EBUSY;
    const bound = bindDriver(fn, driver.name);
    if (bound !== 0) return bound;
    const probed = driver.name === VFIO_PCI ? this.#core.probe(fn) : 0;
    if (probed !== 0) unbindDriver(fn);
    else this.#link(fn, driver.name);
    return probed;
  }

  #bind(driver: Driver, name: string): number {
    const fn = this.#find(name);
    if (!fn || !this.#matches(driver, fn)) return -ENODEV;
    return this.#attach(driver, fn);
  }

  #unbind(driver: Driver, name: string): number {
    const fn = this.#find(name);
    return fn?.driver === driver.name ? this.unbindFrom(fn) : -ENODEV;
  }

  #newId(driver: Driver, text: string): number {
    const id = parseId(text);
    if (!id) return -EINVAL;
    if (driver.ids.some((each) => each.vendor === id.vendor && each.device === id.device)) return -EEXIST;
    driver.ids.push(id);
    for (const fn of this.#core.topology.functions) {
      if (fn.driver === null && this.#matches(driver, fn)) this.#attach(driver, fn);
    }
    return 0;
  }

  #removeId(driver: Driver, text: string): number {
    const id = parseId(text);
    if (!id) return -EINVAL;
    const left = driver.ids.filter((each) => each.vendor !== id.vendor || each.device !== id.device);
    if (left.length === driver.ids.length) return -ENODEV;
    driver.ids = left;
    return 0;
  }

  /** The first driver that takes the function gets it; that none did is no error. */
  #probeByName(name: string): number {
    const fn = this.#find(name);
    if (!fn) return -ENODEV;
    if (fn.driver !== null) return 0;
    for (const driver of this.#drivers.values()) {
      if (this.#matches(driver, fn) && this.#attach(driver, fn) === 0) break;
    }
    return 0;
  }
}

function idOf(fn: PciFunction): PciDeviceId {
  const word = fn.readConfig(PCI_VENDOR_ID, 4);
  return { vendor: word & 0xffff, device: word >>> 16 };
}

/** "vvvv dddd [...]" in hexadecimal; null when there are fewer than two fields. */
function parseId(text: string): PciDeviceId | null {
  const match = /^\s*(?:0x)?([0-9a-fA-F]{1,8})\s+(?:0x)?([0-9a-fA-F]{1,8})/.exec(text);
  if (!match) return null;
  return { vendor: Number.parseInt(match[1] as string, 16), device: Number.parseInt(match[2] as string, 16) };
}
