// The property of sequences with hot resets: who is hit, who may, and whether the client's plan says beforehand what the
// kernel says afterwards; opened, closed and unbound neighbours in between.
import type { PciFunction } from "@minivmm/pci";
import fc from "fast-check";
import type { Kernel } from "../../../vfio-core/test/sequences/calls.ts";
import { drivers, groups, lifetimes } from "../../../vfio-core/test/sequences/commands.ts";
import { Invariants } from "../../../vfio-core/test/sequences/invariants.ts";
import type { PlainKernel } from "../../../vfio-core/test/sequences/plain-kernel.ts";
import { assertCommands, describeHost, type SequenceOptions } from "../../../vfio-core/test/sequences/property.ts";
import * as steps from "../../../vfio-core/test/sequences/step.ts";
import { type Command, isDevice, isGroup, pick, step, times } from "../../../vfio-core/test/sequences/step.ts";
import type { HotResetCalls } from "./calls.ts";
import { factsOf } from "./host.ts";
import { ModelledHotReset } from "./modelled-hot-reset.ts";
import { type Listed, PlainHotReset } from "./plain-hot-reset.ts";

type HotResetCommand = fc.Arbitrary<Command<HotResetCalls>>;

/** Descriptors of groups that a process has, one for each or several. */
function groupsOf(plain: PlainKernel, p: number, current: boolean): number[] {
  return [...(plain.processes[p]?.fds ?? [])].flatMap(([fd, { behind }]) => {
    if (behind.kind !== "group") return [];
    return !current || plain.groups.get(behind.group.id) === behind.group ? [fd] : [];
  });
}

/** On a container the two numbers are other ioctls. */
const isElse = (plain: PlainKernel, at: steps.Place) => steps.behindOf(plain, at)?.kind !== "container";

/** Every group of the slot, opened by whoever lives first; the usual way to be allowed a reset. */
const openSlot: HotResetCommand = step<number, HotResetCalls>("openSlot", pick, (plain, n) => {
  const p = steps.processAt(plain, n);
  const missing = [...plain.groups.values()].filter((group) => group.file === null && group.container === null);
  return missing.map((group) => ["openGroup", p, group.devices[0]?.fn.bdf ?? ""] as const);
});

const resets: HotResetCommand[] = [
  ...times(2, openSlot),
  ...times(
    2,
    steps.on<number, HotResetCalls>("hotResetInfo", isDevice, fc.nat(6), (plain, at, room) =>
      isElse(plain, at) ? ["hotResetInfo", ...at, room] : null,
    ),
  ),
  // All that the process has, some of it, or anything.
  ...times(
    3,
    steps.on<readonly number[], HotResetCalls>(
      "hotReset",
      isDevice,
      fc.array(pick, { maxLength: 6 }),
      (plain, at, numbers) =>
        isElse(plain, at)
          ? ["hotReset", ...at, numbers.map((n) => steps.descriptorOf(plain, at[0], isGroup, n))]
          : null,
    ),
  ),
  ...times(
    3,
    steps.on<number, HotResetCalls>("hotResetAll", isDevice, fc.nat(3), (plain, at, without) =>
      isElse(plain, at) ? ["hotReset", ...at, groupsOf(plain, at[0], false).slice(without % 2)] : null,
    ),
  ),
  ...times(
    4,
    steps.on<number, HotResetCalls>("plannedReset", isDevice, fc.nat(3), (plain, at, without) =>
      steps.behindOf(plain, at)?.kind === "device"
        ? ["plannedReset", ...at, groupsOf(plain, at[0], true).slice(without % 2)]
        : null,
    ),
  ),
];

/** What sits on the bus of a function, as the kernel walks it. */
function busOf(fn: PciFunction): Listed[] | null {
  if (fn.bus.isRoot) return null;
  const walk = (each: PciFunction): Listed[] => [
    { bdf: each.name, group: each.group?.id ?? -1, bridge: each.isBridge },
    ...(each.secondary?.functions ?? []).flatMap(walk),
  ];
  return fn.bus.functions.flatMap(walk);
}

export function assertHotResetSequences(kernel: Kernel, options: SequenceOptions): void {
  assertCommands<HotResetCalls>([...lifetimes, ...groups, ...drivers, ...resets], options, () => {
    const real = new ModelledHotReset(kernel);
    const { topology } = real.host;
    const model = new PlainHotReset(describeHost(kernel, real, factsOf), (bdf) => busOf(topology.get(bdf)));
    return { model, kernel: real, invariants: new Invariants(model, real) };
  });
}
