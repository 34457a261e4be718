// The benchmark's edu: one that may ask for No Snoop and is done with a transfer as soon as it is asked for one. It counts
// transfers, and keeps what its buffer has when the guest stores to where edu has no register, before and after what is measured.
import { EduDevice } from "@minivmm/pci/devices";
import { DMA_STOPWATCH } from "@minivmm/vmm/guests";
import { Stopwatch } from "./stopwatch.ts";

export class StopwatchEdu extends EduDevice {
  readonly stopwatch = new Stopwatch();
  /** The buffer at each mark. */
  readonly buffers: Uint8Array[] = [];
  private transfers = 0;

  constructor() {
    super({
      noSnoop: true,
      after: (_, run) => {
        this.transfers++;
        run();
        return { cancel: () => undefined };
      },
    });
  }

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (offset === DMA_STOPWATCH) {
      this.buffers.push(this.buffer.slice());
      this.stopwatch.mark(this.transfers);
    }
    super.writeBar(bar, offset, width, lo, hi);
  }
}
