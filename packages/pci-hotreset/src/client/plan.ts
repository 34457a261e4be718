/**
 * The plan of a hot reset: who is affected, who is in the way, which groups must be owned. Nothing is reset by planning.
 *
 * A reset is possible when everything affected is bound to vfio-pci and each group is held by the caller. A group that
 * is only held, without container or open device, counts. For a device that was opened through its own node the groups do
 * not matter: everything affected has to be owned by its iommufd, which the kernel knows and tells.
 */
import type { Host } from "@minivmm/host";
import { driverOf, type VfioDevice, type VfioGroup } from "@minivmm/vfio-core";
import { HotResetError } from "../error.ts";
import { isVfioPciDriver } from "./function-facts.ts";
import { type AffectedFunction, hotReset, hotResetInfo } from "./hot-reset.ts";

export interface PlannedFunction extends AffectedFunction {
  /** Bound driver, null for none. */
  readonly driver: string | null;
}

export interface HotResetPlan {
  readonly device: VfioDevice;
  readonly affected: readonly PlannedFunction[];
  /** Groups whose descriptors the reset needs, ascending. */
  readonly groups: readonly number[];
  /** Affected functions without a vfio-pci driver (it or one built on it): each of them makes the kernel refuse. */
  readonly blockers: readonly PlannedFunction[];
  /** Affected functions that the device's iommufd does not own; null for a device that was opened through its group. */
  readonly unowned: readonly PlannedFunction[] | null;
  /** Only this device is affected. */
  readonly single: boolean;
}

/** Throws HotResetError NO_HOT_RESET when no bus or slot reset reaches the device. */
export function planHotReset(host: Host, device: VfioDevice): HotResetPlan {
  const affected = hotResetInfo(device).map((each) => ({ ...each, driver: driverOf(host, each.bdf) }));
  return {
    device,
    affected,
    groups: [...new Set(affected.map((each) => each.group))].filter((id) => id >= 0).sort((a, b) => a - b),
    blockers: affected.filter((each) => !isVfioPciDriver(each.driver)),
    unowned: affected.some((each) => each.deviceId !== undefined)
      ? affected.filter((each) => each.deviceId === -1)
      : null,
    single: affected.length === 1,
  };
}

/** Groups that the plan needs and `owned` lacks; none for a device that was opened through its own node. */
export function missingGroups(plan: HotResetPlan, owned: Iterable<VfioGroup>): number[] {
  if (plan.unowned) return [];
  const held = new Set([...owned].map((group) => group.id));
  return plan.groups.filter((id) => !held.has(id));
}

/**
 * Carries the plan out, with the groups the caller holds for a device that was opened through its group.
 * Throws HotResetError BLOCKED or NOT_OWNED before anything is touched, or what hotReset throws.
 */
export function runHotReset(plan: HotResetPlan, owned: Iterable<VfioGroup> = []): void {
  const held = [...owned];
  const names = (list: readonly PlannedFunction[]) => list.map((each) => `${each.bdf} (${each.driver ?? "no driver"})`);
  if (plan.blockers.length > 0) {
    throw new HotResetError(
      `${plan.device.name} cannot be hot reset: ${names(plan.blockers).join(", ")} would be hit`,
      {
        code: "BLOCKED",
        details: { device: plan.device.name, blockers: plan.blockers },
        hint: "Bind all functions behind the same bridge to vfio-pci.",
      },
    );
  }
  if (plan.unowned && plan.unowned.length > 0) {
    throw new HotResetError(`${plan.device.name} cannot be hot reset: it would hit ${names(plan.unowned).join(", ")}`, {
      code: "NOT_OWNED",
      details: { device: plan.device.name, unowned: plan.unowned },
      hint: "Open those through their own nodes too, and bind them (or a device of their group) to the same iommufd.",
    });
  }
  if (plan.unowned) {
    hotReset(plan.device, []);
    return;
  }
  const missing = missingGroups(plan, held);
  if (missing.length > 0) {
    const hit = plan.affected.filter((each) => missing.includes(each.group));
    throw new HotResetError(`${plan.device.name} cannot be hot reset: it would hit ${names(hit).join(", ")}`, {
      code: "NOT_OWNED",
      details: { device: plan.device.name, missing },
      hint: `Open the IOMMU group(s) ${missing.join(", ")} too, so that the kernel sees that you own them.`,
    });
  }
  // One descriptor of each group: the kernel takes no more of them than there are functions.
  const needed = plan.groups.flatMap((id) => held.find((group) => group.id === id) ?? []);
  hotReset(
    plan.device,
    needed.map((group) => group.fd),
  );
}
