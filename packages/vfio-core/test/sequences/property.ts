// The property of all sequences: reference and modelled kernel agree, step by step, and everything comes back at the end.
// fast-check prints seed and path of a failure; `{ seed, path }` as options repeats it.
import fc from "fast-check";
import { BRIDGED, EDU, NVME, PASSIVE } from "../fixture.ts";
import type { Kernel } from "./calls.ts";
import { commandsFor } from "./commands.ts";
import { Invariants } from "./invariants.ts";
import { ModelledKernel } from "./modelled.ts";
import type { IrqCounts } from "./plain-irqs.ts";
import { type PlainDescription, PlainKernel } from "./plain-kernel.ts";

/** What the functions of the test host are, from their descriptions. */
interface Facts {
  /** INTx, MSI, MSI-X, ERR, REQ. */
  readonly irqs: IrqCounts;
  /** Pages of the BARs that can be mapped. */
  readonly pages: Readonly<Record<number, number>>;
  /** It has a function-level reset, or its bus for itself. */
  readonly resets: boolean;
}

const LEGACY: Facts = { irqs: [0, 0, 0, 0, 1], pages: { 0: 1 }, resets: false };
const FACTS: Readonly<Record<string, Facts>> = {
  [EDU]: { irqs: [1, 1, 0, 0, 1], pages: { 0: 256 }, resets: false },
  [NVME]: { irqs: [1, 0, 9, 1, 1], pages: { 0: 4 }, resets: true },
  [PASSIVE]: { irqs: [1, 4, 0, 1, 1], pages: { 0: 32, 3: 1 }, resets: true },
  [BRIDGED]: { irqs: [1, 1, 0, 0, 1], pages: { 0: 256 }, resets: false },
};

function describe(kernel: Kernel, real: ModelledKernel): PlainDescription {
  const { topology } = real.host;
  const functions = topology.functions.filter((fn) => !fn.isBridge && fn.group);
  const facts = (bdf: string) => FACTS[bdf] ?? LEGACY;
  return {
    kernel,
    functions: functions.map(({ name: bdf, group, driver }) => {
      return { bdf, group: group?.id ?? -1, driver, device: null, waiting: null };
    }),
    irqCounts: (bdf) => facts(bdf).irqs,
    mappablePages: (bdf, bar) => facts(bdf).pages[bar] ?? 0,
    resets: (bdf) => facts(bdf).resets,
  };
}

export interface SequenceOptions {
  readonly numRuns: number;
  readonly maxCommands: number;
  readonly seed?: number;
  readonly path?: string;
}

/** Throws with the shortest sequence found on which they differ. */
export function assertSequences(kernel: Kernel, { maxCommands, ...options }: SequenceOptions): void {
  const sequences = fc.commands(commandsFor(kernel), { maxCommands, size: "max" });
  const property = fc.property(sequences, (commands) => {
    const real = new ModelledKernel(kernel);
    const model = new PlainKernel(describe(kernel, real));
    const invariants = new Invariants(model, real);
    invariants.check();
    fc.modelRun(() => ({ model, real: { kernel: real, invariants } }), commands);
    invariants.end();
  });
  fc.assert(property, options);
}
