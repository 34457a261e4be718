// What sequences ask of hot reset, on top of what they ask of VFIO (vfio-core/test/sequences).
import type { Calls } from "../../../vfio-core/test/sequences/calls.ts";

export interface HotResetCalls extends Calls {
  /** GET_PCI_HOT_RESET_INFO with room for `room` functions: a checksum of the list, or -errno. */
  hotResetInfo(p: number, fd: number, room: number): number;
  /** PCI_HOT_RESET with descriptors that may be anything. */
  hotReset(p: number, fd: number, proof: readonly number[]): number;
  /** The plan of the client, carried out with these descriptors of groups: 0, PLAN_*, or -errno of the kernel. */
  plannedReset(p: number, fd: number, groups: readonly number[]): number;
}

export const PLAN_BLOCKED = -1001;
export const PLAN_NOT_OWNED = -1002;

/** One function of a list at its place, so that order and groups count. */
export function listed(place: number, group: number, bus: number, devfn: number): number {
  return (place + 1) * (group * 65536 + bus * 256 + devfn + 1);
}
