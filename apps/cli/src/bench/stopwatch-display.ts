// The benchmark's display: an ordinary VGA that counts the writes which reach its memory, and a stopwatch: the guest stores to a
// register that VGA does not have before and after what is measured. The guest's own clock plays no part.
import { VgaDevice } from "@minivmm/pci/devices";
import { FRAMES_STOPWATCH } from "@minivmm/vmm/guests";

const MEMORY_BAR = 0;
const REGISTERS_BAR = 2;

/** Since some start: writes to the memory, and milliseconds of the wall clock and of processor time. */
export interface DisplayMark {
  readonly transactions: number;
  readonly wall: number;
  readonly processor: number;
}

export class StopwatchDisplay extends VgaDevice {
  private transactions = 0;
  private readonly marks: DisplayMark[] = [];

  /** From one mark to the next. */
  between(mark: number): DisplayMark {
    const [from, to] = [this.marks[mark] as DisplayMark, this.marks[mark + 1] as DisplayMark];
    return {
      transactions: to.transactions - from.transactions,
      wall: to.wall - from.wall,
      processor: to.processor - from.processor,
    };
  }

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (bar === MEMORY_BAR) this.transactions++;
    else if (bar === REGISTERS_BAR && offset === FRAMES_STOPWATCH) this.mark();
    super.writeBar(bar, offset, width, lo, hi);
  }

  override writeBarBurst(bar: number, offset: number, bytes: Uint8Array): void {
    if (bar === MEMORY_BAR) this.transactions++;
    super.writeBarBurst(bar, offset, bytes);
  }

  private mark(): void {
    const { user, system } = process.cpuUsage();
    const { transactions } = this;
    this.marks.push({ transactions, wall: performance.now(), processor: (user + system) / 1000 });
  }
}
