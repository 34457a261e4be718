// A device in a slot of its own: memory space, I/O space and bus mastering are on, its DMA and interrupts are recorded.
import type { BarWidth, PciDevice } from "../../src/index.ts";
import { FakeMemory, IrqLog } from "./memory.ts";

/** `read` and `write` go to `bar`; of 8 bytes, the lower 4 are seen and the upper are 0. */
export function plug<D extends PciDevice>(device: D, bar = 0) {
  const memory = new FakeMemory(0x10_0000, 0x1_0000);
  const irq = new IrqLog();
  device.dma = memory;
  device.irq = irq;
  device.config.write(4, 2, 7);
  const out = new Uint32Array(2);
  const read = (offset: number, width: BarWidth = 4): number => {
    device.readBar(bar, offset, width, out);
    return out[0]!;
  };
  const write = (offset: number, value: number, width: BarWidth = 4): void =>
    device.writeBar(bar, offset, width, value, 0);
  return { device, memory, irq, read, write };
}
