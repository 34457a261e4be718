/**
 * VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: every function that a reset of the device's slot or bus hits.
 *
 * Whatever driver they have, bridges included; the bridge above the bus is not listed. A device that was opened through
 * its own node is told ids of its iommufd instead of groups; who is not bound to VFIO is not owned, group or no group.
 * Source: vfio_pci_ioctl_get_pci_hot_reset_info, vfio_pci_fill_devs. 6.1 writes the header before the list, 6.12 after it.
 */
import { EINVAL, ENODEV, ENOSPC, EPERM } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import { affectedFunctions, busResetScope, type PciFunction } from "@minivmm/pci";
import { deviceIdFor, type VfioCore, type VfioPciDevice } from "@minivmm/vfio-core/model";
import {
  VFIO_PCI_DEVID_NOT_OWNED,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset_info,
} from "../uapi.ts";

export function hotResetInfo(core: VfioCore, call: IoctlCall, device: VfioPciDevice): number {
  const header = vfio_pci_hot_reset_info;
  const entry = vfio_pci_dependent_device;
  const { argsz } = header.decode(call.arg.copyIn(header.size));
  if (argsz < header.size) return -EINVAL;
  const scope = busResetScope(device.fn);
  if (!scope) return -ENODEV;
  const affected = [...affectedFunctions(device.fn, scope)];
  const reply = header.encode({ argsz, flags: 0, count: affected.length });
  if (affected.length > Math.floor((argsz - header.size) / entry.size)) {
    call.arg.copyOut(reply);
    return -ENOSPC;
  }
  const headerFirst = device.profile.hotResetProbesFirst;
  if (headerFirst) call.arg.copyOut(reply);
  const { iommufd } = device;
  const ids = device.openedByNode && iommufd ? deviceIds(core, device, iommufd, affected) : null;
  if (!ids && affected.some((fn) => !fn.group)) return -EPERM;
  const list = new Uint8Array(affected.length * entry.size);
  affected.forEach((fn, i) => {
    entry.encode(describe(fn, ids?.[i] ?? fn.group?.id ?? 0), list.subarray(i * entry.size));
  });
  call.arg.copyOut(list, header.size);
  if (!headerFirst) call.arg.copyOut(header.encode({ argsz, flags: ids ? flagsOf(ids) : 0, count: affected.length }));
  return 0;
}

/** Of each function: its id, or one of the two numbers that stand for "owned" and "not owned". */
function deviceIds(
  core: VfioCore,
  device: VfioPciDevice,
  user: NonNullable<VfioPciDevice["iommufd"]>,
  affected: readonly PciFunction[],
): number[] {
  const set = new Set(core.deviceSetOf(device).map(({ fn }) => fn));
  return affected.map((fn) => (set.has(fn) ? deviceIdFor(user, fn) >>> 0 : VFIO_PCI_DEVID_NOT_OWNED));
}

function flagsOf(ids: readonly number[]): number {
  const owned = ids.includes(VFIO_PCI_DEVID_NOT_OWNED) ? 0 : VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
  return VFIO_PCI_HOT_RESET_FLAG_DEV_ID | owned;
}

function describe(fn: PciFunction, group_id: number) {
  return { group_id, segment: fn.bdf.domain, bus: fn.bdf.bus, devfn: fn.devfn };
}
