// Plug an NVMe controller into a bus of our own: some memory, a DMA port over it, and the register writes with which a
// driver brings the controller up and asks who it is.
import type { DmaPort } from "@minivmm/pci";
import { memoryDisk, nvme } from "@minivmm/pci/devices";

const memory = new Uint8Array(64 * 1024);
const inside = (hi: number, lo: number, length: number): boolean => hi === 0 && lo + length <= memory.length;
const dma: DmaPort = {
  read(hi, lo, into) {
    if (!inside(hi, lo, into.length)) return false;
    into.set(memory.subarray(lo, lo + into.length));
    return true;
  },
  write(hi, lo, from) {
    if (!inside(hi, lo, from.length)) return false;
    memory.set(from, lo);
    return true;
  },
};

const device = nvme({ disk: memoryDisk(1024 * 1024), serial: "EXAMPLE-1" });
device.dma = dma;
device.irq = { intx: (level) => console.log(`INTx ${level ? "up" : "down"}`), msi: () => undefined };
device.config.write(0x04, 2, 0x0006); // memory space and bus master

const register = (offset: number, value: number): void => device.writeBar(0, offset, 4, value, 0);
register(0x24, 0x000f000f); // AQA: 16 entries each
register(0x28, 0x1000); // ASQ
register(0x30, 0x2000); // ACQ
register(0x14, 0x00460001); // CC: enable
const out = new Uint32Array(2);
device.readBar(0, 0x1c, 4, out);
console.log(`CSTS ${out[0]} (1 is ready)`);

// Identify controller into 0x4000, then ring the admin queue.
const command = new DataView(memory.buffer, 0x1000, 64);
command.setUint32(0, 0x06 | (7 << 16), true);
command.setUint32(24, 0x4000, true);
command.setUint32(40, 1, true);
register(0x1000, 1);

const completion = new DataView(memory.buffer, 0x2000, 16);
const status = completion.getUint16(14, true) >> 1;
const text = (at: number, length: number): string =>
  Buffer.from(memory.subarray(at, at + length))
    .toString()
    .trim();
console.log(
  `command ${completion.getUint16(12, true)} status ${status}: ${text(0x4018, 40)}, serial ${text(0x4004, 20)}`,
);
register(0x1004, 1); // completion consumed
if (status !== 0) process.exitCode = 1;
