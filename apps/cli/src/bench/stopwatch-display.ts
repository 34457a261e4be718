// The benchmark's display: an ordinary VGA that counts the writes which reach its memory, and a stopwatch: the guest stores to a
// register that VGA does not have before and after what is measured. The guest's own clock plays no part.
import { VgaDevice } from "@minivmm/pci/devices";
import { FRAMES_STOPWATCH } from "@minivmm/vmm/guests";
import { Stopwatch } from "./stopwatch.ts";

const MEMORY_BAR = 0;
const REGISTERS_BAR = 2;

export class StopwatchDisplay extends VgaDevice {
  readonly stopwatch = new Stopwatch();
  private transactions = 0;

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (bar === MEMORY_BAR) this.transactions++;
    else if (bar === REGISTERS_BAR && offset === FRAMES_STOPWATCH) this.stopwatch.mark(this.transactions);
    super.writeBar(bar, offset, width, lo, hi);
  }

  override writeBarBurst(bar: number, offset: number, bytes: Uint8Array): void {
    if (bar === MEMORY_BAR) this.transactions++;
    super.writeBarBurst(bar, offset, bytes);
  }
}
