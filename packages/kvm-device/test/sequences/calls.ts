// What sequences ask of KVM and its VFIO device, on top of what they ask of VFIO (vfio-core/test/sequences).
import type { Calls } from "../../../vfio-core/test/sequences/calls.ts";

export interface KvmCalls extends Calls {
  openKvm(p: number): number;
  createVm(p: number, fd: number): number;
  /** The new device's descriptor. */
  createDevice(p: number, fd: number, call: { readonly type: number; readonly flags: number }): number;
  /** KVM_DEV_VFIO_FILE_ADD and _DEL of the descriptor `file`. */
  add(p: number, fd: number, file: number): number;
  remove(p: number, fd: number, file: number): number;
  hasAttribute(p: number, fd: number, group: number, attr: number): number;
  /** SET_DEVICE_ATTR with a value nobody can read. */
  setUnreadable(p: number, fd: number, group: number, attr: number): number;
}
