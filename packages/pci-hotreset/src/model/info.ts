/**
 * VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: every function that a reset of the device's slot or bus hits.
 *
 * Whatever driver they have, bridges included; the bridge above the bus is not listed. Source:
 * vfio_pci_ioctl_get_pci_hot_reset_info. 6.1 writes the header before the list, 6.12 after it.
 */
import { EINVAL, ENODEV, ENOSPC, EPERM } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import { affectedFunctions, busResetScope, type PciFunction } from "@minivmm/pci";
import type { VfioPciDevice } from "@minivmm/vfio-core/model";
import { vfio_pci_dependent_device, vfio_pci_hot_reset_info } from "../uapi.ts";

export function hotResetInfo(call: IoctlCall, device: VfioPciDevice): number {
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
  if (affected.some((fn) => !fn.group)) return -EPERM;
  const list = new Uint8Array(affected.length * entry.size);
  affected.forEach((fn, i) => {
    entry.encode(describe(fn), list.subarray(i * entry.size));
  });
  call.arg.copyOut(list, header.size);
  if (!headerFirst) call.arg.copyOut(reply);
  return 0;
}

function describe(fn: PciFunction) {
  return { group_id: fn.group?.id ?? 0, segment: fn.bdf.domain, bus: fn.bdf.bus, devfn: fn.devfn };
}
