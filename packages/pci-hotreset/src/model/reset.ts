/**
 * VFIO_DEVICE_PCI_HOT_RESET: resets the slot or bus once ownership of all that is affected is proven.
 *
 * Proof is group identity: a descriptor of each group, container or not. A device that was opened through its own node
 * hands over nothing: all must be owned by its iommufd. Every function hit must be bound to vfio-pci,
 * so a bridge or a driverless neighbour vetoes. The kernel keeps what the user set up: configuration, interrupts,
 * virtual BARs. Source: vfio_pci_ioctl_pci_hot_reset, vfio_pci_dev_set_hot_reset.
 */
import { EBADF, EINVAL, ENODEV } from "@minivmm/host";
import type { IoctlCall, OpenFile } from "@minivmm/host/model";
import { affectedFunctions, busResetScope, type PciFunction, resetBusOf, setPowerState } from "@minivmm/pci";
import {
  deviceIdFor,
  isResettable,
  type VfioCore,
  type VfioPciDevice,
  vfioFileHasDev,
  vfioFileIsGroup,
} from "@minivmm/vfio-core/model";
import { vfio_pci_hot_reset } from "../uapi.ts";

export function hotReset(core: VfioCore, call: IoctlCall, device: VfioPciDevice): number {
  const header = vfio_pci_hot_reset;
  const { argsz, flags, count } = header.decode(call.arg.copyIn(header.size));
  if (argsz < header.size || flags !== 0) return -EINVAL;
  const scope = busResetScope(device.fn);
  // 6.12 looks at the count before it looks for a way to reset, 6.1 after it.
  if (device.profile.hotResetProbesFirst && !scope) return -ENODEV;
  if ((count === 0) !== device.openedByNode) return -EINVAL;
  if (!scope) return -ENODEV;
  const { iommufd } = device;
  if (device.openedByNode && iommufd) return resetOwned(core, device, (fn) => deviceIdFor(iommufd, fn) >= 0);
  if (count > [...affectedFunctions(device.fn, scope)].length) return -EINVAL;
  const files = groupFiles(call, count);
  if (typeof files === "number") return files;
  return resetOwned(core, device, (_, member) => files.some((file) => vfioFileHasDev(file, member)));
}

function resetOwned(
  core: VfioCore,
  device: VfioPciDevice,
  owned: (fn: PciFunction, member: VfioPciDevice) => boolean,
): number {
  const set = core.deviceSetOf(device);
  if (!isResettable(set) || !set.every((member) => owned(member.fn, member))) return -EINVAL;
  for (const member of set) toD0(member);
  return resetBusOf(device.fn);
}

/** The files behind the descriptors, checked one by one in order. argsz says nothing about them. */
function groupFiles(call: IoctlCall, count: number): OpenFile[] | number {
  const bytes = call.arg.copyIn(4 * count, vfio_pci_hot_reset.size);
  const fds = new DataView(bytes.buffer, bytes.byteOffset);
  const files: OpenFile[] = [];
  for (let i = 0; i < count; i++) {
    const file = call.process.fileOf(fds.getInt32(4 * i, true));
    if (!file) return -EBADF;
    if (!vfioFileIsGroup(file)) return -EINVAL;
    files.push(file);
  }
  return files;
}

function toD0(member: VfioPciDevice): void {
  if (member.openCount > 0) member.state.setPower(0);
  else setPowerState(member.fn, 0);
}
