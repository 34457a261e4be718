/**
 * The files through which drivers are bound: drivers/NAME/{bind,unbind,new_id,remove_id} and a function's driver_override.
 *
 * Source: bind_store, unbind_store of drivers/base/bus.c; new_id_store, remove_id_store of drivers/pci/pci-driver.c;
 * __device_set_driver_override of drivers/base/dd.c.
 */
import { EINVAL, ENODEV } from "@minivmm/host";
import type { ModelKernel, SysFs } from "@minivmm/host/model";
import type { PciFunction } from "@minivmm/pci";
import type { PciDriver } from "./driver.ts";
import { cString, nameIn } from "./kstrto.ts";
import { parseId } from "./pci-ids.ts";

const BUS = "/sys/bus/pci";

export interface DriverActions {
  find(name: string): PciFunction | undefined;
  /** 0 or -errno. */
  bind(fn: PciFunction): number;
  unbind(fn: PciFunction): number;
  /** The driver takes more than before: it looks at all functions that have none. */
  newIds(): void;
}

export function publishDriver(sysfs: SysFs, driver: PciDriver, actions: DriverActions): void {
  const at = `${BUS}/drivers/${driver.name}`;
  sysfs.file(`${at}/bind`, {
    write(text) {
      const fn = actions.find(nameIn(text));
      return fn && driver.matches(fn) ? actions.bind(fn) : -ENODEV;
    },
  });
  sysfs.file(`${at}/unbind`, {
    write(text) {
      const fn = actions.find(nameIn(text));
      return fn && fn.driver === driver.name ? actions.unbind(fn) : -ENODEV;
    },
  });
  sysfs.file(`${at}/new_id`, {
    write(text) {
      const parsed = parseId(text);
      if (!parsed) return -EINVAL;
      const added = driver.addDynamic(parsed.id, parsed.fields);
      if (added === 0) actions.newIds();
      return added;
    },
  });
  sysfs.file(`${at}/remove_id`, {
    write(text) {
      const parsed = parseId(text);
      return parsed ? driver.removeDynamic(parsed.id) : -EINVAL;
    },
  });
}

/** The text up to its first newline is the name, blanks and all; a newline at once clears it. */
export function publishOverride(kernel: ModelKernel, fn: PciFunction): void {
  kernel.sysfs.file(`${BUS}/devices/${fn.name}/driver_override`, {
    read: () => `${fn.driverOverride ?? "(null)"}\n`,
    write(text) {
      // It has to fit into a page when it is shown, with a newline.
      if (new TextEncoder().encode(text).length >= kernel.pageSize - 1) return -EINVAL;
      const name = cString(text).split("\n", 1)[0] as string;
      fn.driverOverride = name === "" ? null : name;
      return 0;
    },
  });
}
