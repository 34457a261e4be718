/**
 * sriov_* files of physical and virtual functions, and the links between them.
 *
 * Writing sriov_numvfs asks the driver; the order of checks is sriov_numvfs_store's. Source: drivers/pci/iov.c.
 */
import { EBUSY, EINVAL, ENOENT, EOPNOTSUPP, ERANGE } from "@minivmm/host";
import type { ModelKernel } from "@minivmm/host/model";
import type { PciFunction } from "@minivmm/pci";
import type { DeviceLocks } from "./device-lock.ts";
import type { PciDriver } from "./driver.ts";
import { kstrtobool, kstrtou16 } from "./kstrto.ts";

const DEVICES = "/sys/bus/pci/devices";

export interface SriovAttributeContext {
  readonly kernel: ModelKernel;
  readonly locks: DeviceLocks;
  driverOf(fn: PciFunction): PciDriver | undefined;
  report(fn: PciFunction, line: string): void;
}

/** Puts the files of this function up; nothing for one without SR-IOV. */
export function publishSriov(context: SriovAttributeContext, fn: PciFunction): void {
  const { sysfs } = context.kernel;
  const at = `${DEVICES}/${fn.name}`;
  if (fn.physfn) {
    sysfs.file(`${at}/sriov_vf_msix_count`, {
      // No driver here gives vectors of its own away.
      write: (text) => (kstrtou16(text) === null ? -EINVAL : -EOPNOTSUPP),
    });
  }
  const { iov } = fn;
  if (!iov) return;
  const shown: Record<string, () => string> = {
    totalvfs: () => `${iov.totalVfs}`,
    offset: () => `${iov.offset}`,
    stride: () => `${iov.stride}`,
    vf_device: () => (fn.device.sriov?.vfDevice ?? 0).toString(16),
    vf_total_msix: () => "0",
  };
  for (const [name, show] of Object.entries(shown)) {
    sysfs.file(`${at}/sriov_${name}`, { read: () => `${show()}\n` });
  }
  sysfs.file(`${at}/sriov_numvfs`, {
    read: () => `${iov.numVfs}\n`,
    write: (text) => storeNumVfs(context, fn, text),
  });
  sysfs.file(`${at}/sriov_drivers_autoprobe`, {
    read: () => `${iov.driversAutoprobe ? 1 : 0}\n`,
    write(text) {
      const wanted = kstrtobool(text);
      if (wanted === null) return -EINVAL;
      iov.driversAutoprobe = wanted;
      return 0;
    },
  });
}

export function linkVirtfn({ kernel }: SriovAttributeContext, virtfn: PciFunction, index: number): void {
  const physfn = virtfn.physfn?.name ?? "";
  kernel.sysfs.link(`${DEVICES}/${physfn}/virtfn${index}`, `../${virtfn.name}`);
  kernel.sysfs.link(`${DEVICES}/${virtfn.name}/physfn`, `../${physfn}`);
}

export function unlinkVirtfn({ kernel }: SriovAttributeContext, virtfn: PciFunction, index: number): void {
  kernel.sysfs.remove(`${DEVICES}/${virtfn.physfn?.name ?? ""}/virtfn${index}`);
  kernel.sysfs.remove(`${DEVICES}/${virtfn.name}/physfn`);
}

function storeNumVfs(context: SriovAttributeContext, fn: PciFunction, text: string): number {
  const { iov } = fn;
  const count = kstrtou16(text);
  if (!iov || count === null) return -EINVAL;
  if (count > iov.totalVfs) return -ERANGE;
  return context.locks.run(fn, () => {
    if (count === iov.numVfs) return 0;
    const driver = context.driverOf(fn);
    if (!driver) {
      context.report(fn, "no driver bound to device; cannot configure SR-IOV");
      return -ENOENT;
    }
    if (!driver.hooks.sriovConfigure) {
      context.report(fn, "driver does not support SR-IOV configuration via sysfs");
      return -ENOENT;
    }
    if (count > 0 && iov.numVfs > 0) {
      context.report(fn, `${iov.numVfs} VFs already enabled. Disable before enabling ${count} VFs`);
      return -EBUSY;
    }
    return Math.min(0, driver.hooks.sriovConfigure(fn, count));
  });
}
