/**
 * What other parts of the kernel (KVM) may do with VFIO files.
 *
 * Two generations. Historical (3.11 to 5.17): an external user takes a *group* out of an attached, viable group file and
 * counts as a user of its container, which cannot be taken away meanwhile. Modern (since 6.0): functions on *files*,
 * no user count; the caller's file reference is all that keeps the group open.
 */
import { EINVAL, EPERM } from "@minivmm/host";
import { KernelError, type OpenFile } from "@minivmm/host/model";
import type { IommuGroup } from "@minivmm/pci";
import { VFIO_DMA_CC_IOMMU } from "../uapi.ts";
import type { VfioPciDevice } from "./device.ts";
import { VfioDeviceFile } from "./device-file.ts";
import type { KvmReference, VfioGroup } from "./group.ts";
import { VfioGroupFile } from "./group-file.ts";

function groupOf(file: OpenFile): VfioGroup<VfioPciDevice> | null {
  return file.ops instanceof VfioGroupFile ? file.ops.group : null;
}

function deviceFileOf(file: OpenFile): VfioDeviceFile | null {
  return file.ops instanceof VfioDeviceFile ? file.ops : null;
}

/**
 * `vfio_group_get_external_user`: one more user of the container, and the group. Throws KernelError EINVAL (no group
 * file, no container, no IOMMU, not viable) or EPERM (a group without an IOMMU).
 */
export function vfioGroupGetExternalUser(file: OpenFile): VfioGroup {
  const group = groupOf(file);
  if (!group) throw new KernelError(EINVAL, `a ${file.ops.kind} file is not a VFIO group`);
  if (group.containerUsers === 0) throw new KernelError(EINVAL, `group ${group.id} has no container`);
  if (group.type === "noiommu") throw new KernelError(EPERM, `group ${group.id} has no IOMMU`);
  if (!group.container?.instance) throw new KernelError(EINVAL, `the container of group ${group.id} has no IOMMU`);
  if (!group.viable) throw new KernelError(EINVAL, `group ${group.id} is not viable`);
  group.containerUsers++;
  return group;
}

/** `vfio_group_put_external_user`: the last user of a container dissolves it. */
export function vfioGroupPutExternalUser(group: VfioGroup): void {
  group.putUser();
}

/** `vfio_external_user_iommu_id`: number of the IOMMU group. */
export function vfioExternalUserIommuId(group: VfioGroup): number {
  return group.id;
}

/** `vfio_external_check_extension`: CHECK_EXTENSION on the group's container. The caller is an external user. */
export function vfioExternalCheckExtension(group: VfioGroup, ext: number): number {
  return group.container?.checkExtension(ext) ?? 0;
}

/** `vfio_external_group_match_file`: is this a file of that group? Works on groups that lost viability. */
export function vfioExternalGroupMatchFile(group: VfioGroup, file: OpenFile): boolean {
  return groupOf(file) === group;
}

/** `vfio_group_set_kvm`: stored, no reference taken. */
export function vfioGroupSetKvm(group: VfioGroup, kvm: KvmReference | null): void {
  group.kvm = kvm;
}

/** `vfio_file_is_group` */
export function vfioFileIsGroup(file: OpenFile): boolean {
  return groupOf(file) !== null;
}

/** `vfio_file_is_valid`: a group file, or (6.12) a device file. */
export function vfioFileIsValid(file: OpenFile): boolean {
  const deviceFile = deviceFileOf(file);
  return groupOf(file) !== null || (deviceFile?.device.profile.deviceFiles ?? false);
}

/**
 * `vfio_file_enforced_coherent`: is DMA of everything behind the file always coherent with caches? 6.12 asks what the
 * IOMMU can do, 6.1 what the container says (before SET_IOMMU: no; unattached: yes). Other files: true.
 */
export function vfioFileEnforcedCoherent(file: OpenFile): boolean {
  const device = deviceFileOf(file)?.device;
  if (device) return device.enforcesSnoop;
  const group = groupOf(file);
  if (!group) return true;
  const modern = group.devices.every((each) => each.profile.deviceFiles);
  if (modern) return group.devices.every((each) => each.enforcesSnoop);
  return group.container ? group.container.checkExtension(VFIO_DMA_CC_IOMMU) > 0 : true;
}

/** `vfio_file_set_kvm`: devices pick it up at their next first open. No reference is taken here. */
export function vfioFileSetKvm(file: OpenFile, kvm: KvmReference | null): void {
  const group = groupOf(file);
  if (group) group.kvm = kvm;
  const deviceFile = deviceFileOf(file);
  if (deviceFile) deviceFile.kvm = kvm;
}

/** `vfio_file_iommu_group`: the IOMMU group behind a group file, else null. */
export function vfioFileIommuGroup(file: OpenFile): IommuGroup | null {
  return groupOf(file)?.iommuGroup ?? null;
}

/** `vfio_file_has_dev`: is it a file of the group that the device belongs to? */
export function vfioFileHasDev(file: OpenFile, device: VfioPciDevice): boolean {
  return groupOf(file) === device.group;
}
