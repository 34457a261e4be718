// How a run gets its machines, whichever kind it is: one after the other, each when the one before it has ended. What they
// stand on (a host, files that were read) is opened once, or anew for each, as the machine wants it.
import type { CoherencyConfig, ConsoleBackend, Vm, VmSummary } from "@minivmm/vmm";

/** Called with the first occurrence of each mistake, where they are looked for. */
export type MistakeFound = NonNullable<CoherencyConfig["report"]>;

export interface Launcher extends Disposable {
  /** A machine that is ready to run. Throws MinivmmError for what prevents that, with everything given back. */
  launch(console: ConsoleBackend, found?: MistakeFound): Promise<Vm<VmSummary>>;
}
