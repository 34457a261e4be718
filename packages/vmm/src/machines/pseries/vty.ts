// The virtual terminal at unit 0x71000000: output goes to the console at once, input waits in a queue until the
// guest fetches it, announced by an edge interrupt. Source: PAPR 2.7 section 16.5.
import type { ConsolePort } from "../../console.ts";
import { IRQ_VTY, VTY_UNIT } from "./memory-map.ts";
import type { Xics } from "./xics.ts";

export class Vty {
  private readonly console: ConsolePort;

  constructor(console: ConsolePort, xics: Xics) {
    this.console = console;
    xics.claim(IRQ_VTY, "edge", "console");
    console.onInputReady = () => xics.pulse(IRQ_VTY);
  }

  /** Unit 0 means "the first terminal", which early kernel code uses. */
  answersTo(unit: number): boolean {
    return unit === VTY_UNIT || unit === 0;
  }

  output(bytes: Uint8Array, length: number): void {
    this.console.put(bytes, length);
  }

  /** Moves up to `into.length` characters of input. Returns how many. */
  input(into: Uint8Array): number {
    return this.console.take(into);
  }
}
