/**
 * The plan of a hot reset: who is affected, who is in the way, which groups must be owned. Nothing is reset by planning.
 *
 * A reset is possible when everything affected is bound to vfio-pci and each group is held by the caller. A group that
 * is only held, without container or open device, counts.
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
  /** Only this device is affected. */
  readonly single: boolean;
}

/** Throws HotResetError NO_HOT_RESET when no bus or slot reset reaches the device. */
export function planHotReset(host: Host, device: VfioDevice): HotResetPlan {
  const affected = hotResetInfo(device).map((each) => ({ ...each, driver: driverOf(host, each.bdf) }));
  return {
    device,
    affected,
    groups: [...new Set(affected.map((each) => each.group))].sort((a, b) => a - b),
    blockers: affected.filter((each) => !isVfioPciDriver(each.driver)),
    single: affected.length === 1,
  };
}

/** Groups that the plan needs and `owned` lacks. */
export function missingGroups(plan: HotResetPlan, owned: Iterable<VfioGroup>): number[] {
  const held = new Set([...owned].map((group) => group.id));
  return plan.groups.filter((id) => !held.has(id));
}

/**
 * Carries the plan out with the groups the caller holds.
 * Throws HotResetError BLOCKED or NOT_OWNED before anything is touched, or what hotReset throws.
 */
export function runHotReset(plan: HotResetPlan, owned: Iterable<VfioGroup>): void {
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
