// May a group join a container? The order of checks is the kernel's; each profile has its own.
// Source: tce_iommu_attach_group of v6.12; of v4.12 and v6.1 (ownership callbacks); of v3.11 (one table a container).
import { EBUSY, EINVAL, ENODEV, EPERM } from "@minivmm/host";
import type { IommuAttachable } from "@minivmm/vfio-core/model";
import type { SpaprProfile } from "./profile.ts";
import type { TableGroup } from "./table-group.ts";
import type { ContainerWindows } from "./windows.ts";

export interface AttachState {
  readonly v2: boolean;
  readonly enabled: boolean;
  readonly profile: SpaprProfile;
  readonly windows: ContainerWindows;
}

/** 0, or -errno of the first rule that refuses. `group` is null when the platform knows no table group. */
export function checkAttach(state: AttachState, attachable: IommuAttachable, group: TableGroup | null): number {
  if (attachable.type === "emulated") return -EINVAL;
  if (group === null) return -ENODEV;
  const { profile, windows, v2 } = state;
  const attached = windows.groups;
  if (!profile.v2) {
    if (windows.tables[0] || state.enabled) return -EBUSY;
  } else if (profile.ownershipOps) {
    const ops = group.platform.hasOwnershipOps;
    if (attached.length > 0 && !ops) return -EBUSY;
    if (!ops && v2) return -EPERM;
    if (ops && !v2) return -EPERM;
  } else {
    if (v2 && group.platform.maxDynamicWindows === 0) return -EINVAL;
    if (!v2 && attached.length > 0) return -EBUSY;
  }
  if (attached.includes(group)) return -EBUSY;
  if (attached.some((other) => other.platform.createTable !== group.platform.createTable)) return -EPERM;
  return 0;
}

/** Does the container get the kernel's own table instead of making one? */
export function adoptsTable(state: AttachState, group: TableGroup): boolean {
  if (!state.profile.v2) return true;
  return state.profile.ownershipOps && !group.platform.hasOwnershipOps && !state.v2;
}
