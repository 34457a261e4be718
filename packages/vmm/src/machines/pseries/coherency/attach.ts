// A checker for a machine pseries whose CPU is in software: what it is made from, and DMA of passed-through functions as a
// modelled host tells of it.
import type { GuestMemory } from "@minivmm/host";
import type { DmaRequest } from "@minivmm/pci";
import type { CpuInspection } from "../../../accel/accelerator.ts";
import type { PseriesCoherencyConfig } from "../../../coherency/config.ts";
import { CoherencyLog } from "../../../coherency/report.ts";
import { DmaWindows } from "../ddw.ts";
import type { PseriesMachine } from "../machine.ts";
import type { CacheShadow } from "./cache-shadow.ts";
import { type CheckedRequest, CoherencyChecker, type GuestPosition } from "./checker.ts";
import type { GuestCall } from "./unmapped.ts";

export interface CheckedMachine {
  readonly machine: PseriesMachine;
  readonly ram: GuestMemory;
  /** What the CPU tells of what it does. */
  readonly shadow: CacheShadow;
  readonly cpu: CpuInspection;
}

/** Before devices are plugged in. */
export function attachChecker(
  { machine, ram, shadow, cpu }: CheckedMachine,
  { snoopControl = false, report }: PseriesCoherencyConfig,
): CoherencyChecker {
  const checker = new CoherencyChecker({
    ram,
    tables: machine.tables,
    shadow,
    position: positionOf(machine, cpu),
    log: new CoherencyLog(report),
    enforcesSnoop: snoopControl,
    forget: () => cpu.forgetTranslations(),
  });
  machine.tables.observer = checker;
  machine.onInhibitedStore = (address, size) => shadow.accessed(address, size, true, { cached: false, whole: false });
  return checker;
}

/** DMA of functions of the host, by their addresses there: what the user calls them. */
export function observeHost(
  checker: CoherencyChecker,
  names: ReadonlyMap<string, string>,
  observeDma: PseriesCoherencyConfig["observeDma"],
): void {
  if (observeDma === undefined || names.size === 0) return;
  const requestOf = ({ function: name, hi, lo, length, write, noSnoop }: DmaRequest): CheckedRequest | undefined => {
    const device = names.get(name);
    return device === undefined ? undefined : { device, liobns: DmaWindows.liobns, hi, lo, length, write, noSnoop };
  };
  observeDma({
    before: (request) => {
      const checked = requestOf(request);
      if (checked !== undefined) checker.before(checked);
    },
    after: (request, done) => {
      const checked = requestOf(request);
      if (checked === undefined) return;
      if (done) checker.after(checked);
      else checker.refusedByHost(checked);
    },
  });
}

/** A call is one object for as long as it lasts, which is told from the number of instructions. */
function positionOf(machine: PseriesMachine, cpu: CpuInspection): GuestPosition {
  let last: { readonly at: number; readonly call: GuestCall } | undefined;
  return {
    pc: () => cpu.pc(),
    call: () => {
      const at = cpu.retired();
      if (last?.at !== at) {
        const token = cpu.hypercall();
        const name = token < 0 ? "RTAS" : machine.hcalls.nameOf(token);
        last = { at, call: { name, pc: cpu.pc() } };
      }
      return last.call;
    },
  };
}
