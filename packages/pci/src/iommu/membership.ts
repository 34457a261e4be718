// Joining and leaving an IOMMU group. Numbers are handed out lowest first, so that of a group that went away is used
// again (iommu_group_alloc takes it from an IDA). Source: drivers/iommu/iommu.c.
import { IommuGroup, type PciFunction } from "../topology/graph.ts";

/** `group` null: a new one. */
export function joinGroup(fn: PciFunction, group: IommuGroup | null, groups: IommuGroup[], name?: string): void {
  let joined = group;
  if (joined === null) {
    let id = 0;
    const used = new Set(groups.map((each) => each.id));
    while (used.has(id)) id++;
    joined = new IommuGroup(id, name ?? null);
    groups.push(joined);
  }
  fn.group = joined;
  joined.functions.push(fn);
}

/** The last member takes its group with it. */
export function leaveGroup(fn: PciFunction, groups: IommuGroup[]): void {
  const { group } = fn;
  if (!group) return;
  fn.group = null;
  group.functions.splice(group.functions.indexOf(fn), 1);
  const at = groups.indexOf(group);
  if (group.functions.length === 0 && at >= 0) groups.splice(at, 1);
}
