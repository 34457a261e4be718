// Cases beyond the recorded ones: the recorded families for the other devices, orders and places, and sequences in any
// order. What they should give is not known here: a real kernel is asked.

import type { X86Case } from "../../x86/format.ts";
import { otherBoots } from "./boots.ts";
import { randomBinding, randomLives, randomRegions } from "./lives.ts";
import { closingOrders, hotResets } from "./orders.ts";
import { configSweeps, randomConfig, randomInterrupts, randomMappings } from "./random.ts";
import { otherDevices, otherMatrices, otherPlaces } from "./substitute.ts";

/** In parts, the most telling first. `recorded`: the cases of one kernel, of all ways to boot. */
export function moreCases(recorded: readonly X86Case[]): Map<string, X86Case[]> {
  const full = recorded.filter(({ machine }) => machine.rig === "full");
  const machine = full[0]?.machine;
  if (!machine) return new Map();
  const known = new Set(recorded.map(({ name }) => name));
  return new Map([
    ["devices", otherDevices(full)],
    ["orders", [...closingOrders(machine, known), ...hotResets(machine)]],
    ["random-config", [...configSweeps(machine), ...randomConfig(machine, 1, 20)]],
    ["random-map", randomMappings(machine, 6, 25)],
    ["random-irq", randomInterrupts(machine, 4, 30)],
    [
      "random-life",
      [...randomLives(machine, 16, 45), ...randomBinding(machine, 8, 30), ...randomRegions(machine, 8, 40)],
    ],
    ["places", otherPlaces(full, 2)],
    ["matrices", otherMatrices(full)],
    ["boots", otherBoots(recorded, [...new Set(recorded.map((each) => each.machine))])],
  ]);
}
