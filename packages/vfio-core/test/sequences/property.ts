// The property of all sequences: reference and modelled kernel agree, step by step, and everything comes back at the end.
// fast-check prints seed and path of a failure; `{ seed, path }` as options repeats it.
import fc from "fast-check";
import { BRIDGED, EDU, NVME, PASSIVE } from "../fixture.ts";
import type { Calls, Kernel } from "./calls.ts";
import { commandsFor } from "./commands.ts";
import { Invariants } from "./invariants.ts";
import { ModelledKernel } from "./modelled.ts";
import type { IrqCounts } from "./plain-irqs.ts";
import { type PlainDescription, PlainKernel } from "./plain-kernel.ts";
import type { Command } from "./step.ts";

/** What a function is, from its description. */
export interface Facts {
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

/** What the reference must know of the host; by default the test host of this package. */
export function describeHost(
  kernel: Kernel,
  real: ModelledKernel,
  facts: (bdf: string) => Facts = (bdf) => FACTS[bdf] ?? LEGACY,
): PlainDescription {
  const { topology, core } = real.host;
  const functions = topology.functions.filter((fn) => !fn.isBridge && fn.group);
  return {
    kernel,
    snoops: functions.every((fn) => core.enforcesSnoop(fn)),
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

export interface Sides<C extends Calls> {
  readonly model: PlainKernel & C;
  readonly kernel: C;
  readonly invariants: { check(): void; end(): void };
}

/** Runs sequences of `commands` on fresh sides. Throws with the shortest one found on which the sides differ. */
export function assertCommands<C extends Calls>(
  commands: readonly fc.Arbitrary<Command<C>>[],
  { maxCommands, ...options }: SequenceOptions,
  start: () => Sides<C>,
): void {
  const property = fc.property(fc.commands([...commands], { maxCommands, size: "max" }), (sequence) => {
    const { model, kernel, invariants } = start();
    invariants.check();
    fc.modelRun(() => ({ model, real: { kernel, invariants } }), sequence);
    invariants.end();
  });
  fc.assert(property, options);
}

/** Sequences of everything that VFIO answers. */
export function assertSequences(kernel: Kernel, options: SequenceOptions): void {
  assertCommands(commandsFor(kernel), options, () => {
    const real = new ModelledKernel(kernel);
    const model = new PlainKernel(describeHost(kernel, real));
    return { model, kernel: real, invariants: new Invariants(model, real) };
  });
}
