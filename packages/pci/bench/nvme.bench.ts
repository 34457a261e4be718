// Commands a second of the NVMe model: 4 KiB reads in batches of 32, 128 KiB reads through a PRP list of contiguous pages.
// One iteration is 32 commands: hz * 32 is commands a second, hz * 4 is MiB/s of the 128 KiB case (hz / 8 of the other).
// The reads walk over 8 MiB of a disk in memory, so the figure is that of the controller and two copies.
import { bench, describe } from "vitest";
import { memoryDisk, nvme } from "../src/devices/index.ts";
import { DATA, NvmeDriver } from "../test/support/nvme-driver.ts";

const BATCH = 32;
const driver = new NvmeDriver(nvme({ disk: memoryDisk(new Uint8Array(16 << 20).fill(1)) }));
driver.enable();
driver.enableMsix(2);
driver.createIoQueues(1, 64, 1);
const LIST = DATA + 0x200000;
const { view, base } = driver.memory;
for (let i = 0; i < 31; i++) {
  view.setUint32(LIST - base + i * 8, (DATA + 0x1000 * (i + 1)) % 0x1_0000_0000, true);
  view.setUint32(LIST - base + i * 8 + 4, 1, true);
}

// The queue's entries stay as they are from lap to lap, so that the bench measures the controller and not the driver.
function prepare(blocks: number): () => void {
  const pair = driver.pairs[1]!;
  return () => {
    if (prepared !== blocks) {
      for (let i = 0; i < pair.entries; i++) {
        driver.place(1, { opcode: 2, nsid: 1, prp1: DATA, prp2: LIST, cdw10: i * 256, cdw12: blocks - 1 });
      }
      prepared = blocks;
    }
    pair.tail = (pair.tail + BATCH) % pair.entries;
    driver.irq.messages.length = 0;
    driver.ring(1);
    pair.head = (pair.head + BATCH) % pair.entries;
    driver.write32(0x1004 + 8, pair.head);
  };
}
let prepared = 0;

describe("pci nvme", () => {
  bench("32 reads of 4 KiB, one doorbell", prepare(8));
  bench("32 reads of 128 KiB, one doorbell", prepare(256));
});
