/**
 * Who has an IOMMU group: the caller, somebody else, nobody; and whether VFIO would let it be used.
 *
 * The kernel opens a group's node once at a time, so the question is put by opening it for a moment. That does nothing
 * to the group's devices: only a container does. Source: vfio_group_fops_open, vfio_group_ioctl_get_status.
 */
import { EACCES, EBUSY, ENODEV, ENOENT, EPERM, type Host, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import {
  type GroupMember,
  groupMembers,
  type Holder,
  holdersOf,
  nodesOfGroup,
  VfioError,
  VfioGroup,
} from "@minivmm/vfio-core";
import { textFile } from "./function-facts.ts";

/**
 * `ours`: the caller holds it. `free`: it can be opened. `busy`: open elsewhere. `denied`: no permission. `absent`: there
 * is no node, as when no member is bound to vfio-pci. `failed`: another refusal.
 */
export type GroupState = "ours" | "free" | "busy" | "denied" | "absent" | "failed";

export interface GroupOwnership {
  readonly id: number;
  /** `/dev/vfio/12`, or `/dev/vfio/noiommu-12` for a group that only stands in for an IOMMU. */
  readonly node: string;
  readonly noiommu: boolean;
  readonly state: GroupState;
  /** What the open was refused with, null when it was not. */
  readonly errno: number | null;
  /** No member is used by a host driver; null when the group could not be asked. */
  readonly viable: boolean | null;
  readonly members: readonly GroupMember[];
  /** Who has it when it is busy, as far as this user may see; else none. */
  readonly holders: readonly Holder[];
}

const NOIOMMU_NAME = "vfio-noiommu";

export function groupOwnership(host: Host, id: number, owned: readonly VfioGroup[]): GroupOwnership {
  const noiommu = textFile(host, `/sys/kernel/iommu_groups/${id}/name`) === NOIOMMU_NAME;
  const node = `/dev/vfio/${noiommu ? "noiommu-" : ""}${id}`;
  const known = { id, node, noiommu, members: groupMembers(host, id), holders: [] };
  const ours = owned.find((group) => group.id === id);
  if (ours) return { ...known, state: "ours", errno: null, viable: viability(ours) };
  const fd = openGroupNode(host, node);
  if (fd < 0) {
    const state = stateOf(-fd);
    const holders = state === "busy" ? holdersOf(host, nodesOfGroup(host, id)) : [];
    return { ...known, state, errno: -fd, viable: null, holders };
  }
  try {
    return { ...known, state: "free", errno: null, viable: viability(VfioGroup.open(host, id, fd)) };
  } finally {
    host.close(fd);
  }
}

/** A descriptor of a group's node, or -errno. */
export function openGroupNode(host: Host, node: string): number {
  return host.open(node, O_RDWR | O_CLOEXEC);
}

function stateOf(errno: number): GroupState {
  if (errno === EBUSY) return "busy";
  if (errno === ENOENT || errno === ENODEV) return "absent";
  return errno === EACCES || errno === EPERM ? "denied" : "failed";
}

/** Null when the group lost its last device while it was looked at. */
function viability(group: VfioGroup): boolean | null {
  try {
    return group.status().viable;
  } catch (error) {
    if (error instanceof VfioError) return null;
    throw error;
  }
}
