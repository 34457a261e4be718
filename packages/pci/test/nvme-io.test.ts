import { describe, expect, test } from "vitest";
import { type Disk, memoryDisk, nvme } from "../src/devices/index.ts";
import { DATA, NvmeDriver } from "./support/nvme-driver.ts";

const DNR = 0x4000;
const LIST = DATA + 0x100000;

function bringUp(options: Partial<Parameters<typeof nvme>[0]> = {}, vectors = 0): NvmeDriver {
  const driver = new NvmeDriver(nvme({ disk: memoryDisk(8 << 20), ...options }));
  driver.enable();
  if (vectors) driver.enableMsix(vectors);
  driver.createIoQueues(1, 64, vectors ? 1 : 0);
  return driver;
}

function pattern(bytes: Uint8Array, seed: number): Uint8Array {
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed) & 0xff;
  return bytes.slice();
}

/** A PRP list at LIST for scattered pages: page i of the data sits at DATA + 0x2000 * (i + 1), so none are contiguous. */
function scatteredList(driver: NvmeDriver, pages: number, at = LIST): number[] {
  const addresses: number[] = [];
  for (let i = 0; i < pages; i++) {
    const address = DATA + 0x2000 * (i + 1);
    addresses.push(address);
    setEntry(driver, at + i * 8, address);
  }
  return addresses;
}

function setEntry(driver: NvmeDriver, at: number, address: number): void {
  driver.memory.view.setUint32(at - driver.memory.base, address % 0x1_0000_0000, true);
  driver.memory.view.setUint32(at - driver.memory.base + 4, Math.floor(address / 0x1_0000_0000), true);
}

describe("pci nvme: reads and writes", () => {
  test("one block comes back as written", () => {
    const driver = bringUp();
    const sent = pattern(driver.data(DATA, 512), 1);
    driver.ok(driver.io({ opcode: 1, prp1: DATA, cdw10: 5 }));
    driver.ok(driver.io({ opcode: 2, prp1: DATA + 0x1000, cdw10: 5 }));
    expect(driver.data(DATA + 0x1000, 512)).toEqual(sent);
  });

  test("an unaligned start spills into the second page", () => {
    const driver = bringUp();
    const sent = pattern(driver.data(DATA, 4096), 2);
    driver.ok(driver.io({ opcode: 1, prp1: DATA, cdw10: 0, cdw12: 7 }));
    driver.ok(driver.io({ opcode: 2, prp1: DATA + 0x2e04, prp2: DATA + 0x8000, cdw10: 0, cdw12: 7 }));
    const first = 0x1000 - 0xe04;
    expect(driver.data(DATA + 0x2e04, first)).toEqual(sent.subarray(0, first));
    expect(driver.data(DATA + 0x8000, 4096 - first)).toEqual(sent.subarray(first));
  });

  test.each([3, 16, 64, 128])("%i scattered pages through a PRP list", (pages) => {
    const driver = bringUp();
    const addresses = [DATA, ...scatteredList(driver, pages - 1)];
    const sent = addresses.map((address, i) => pattern(driver.data(address, 4096), i));
    const command = { prp1: DATA, prp2: LIST, cdw10: 16, cdw12: pages * 8 - 1 };
    driver.ok(driver.io({ opcode: 1, ...command }));
    for (const address of addresses) driver.data(address, 4096).fill(0);
    driver.ok(driver.io({ opcode: 2, ...command }));
    addresses.forEach((address, i) => {
      expect(driver.data(address, 4096)).toEqual(sent[i]);
    });
  });

  test("a list that starts near the end of its page chains to the next", () => {
    const driver = bringUp();
    const pages = 8;
    const addresses = [DATA];
    const start = LIST + 0x1000 - 16;
    setEntry(driver, start, DATA + 0x2000);
    setEntry(driver, start + 8, LIST + 0x5000);
    addresses.push(DATA + 0x2000);
    for (let i = 2; i < pages; i++) {
      setEntry(driver, LIST + 0x5000 + (i - 2) * 8, DATA + 0x2000 * i + 0x1000);
      addresses.push(DATA + 0x2000 * i + 0x1000);
    }
    const sent = addresses.map((address, i) => pattern(driver.data(address, 4096), i * 3));
    const command = { prp1: DATA, prp2: start, cdw12: pages * 8 - 1 };
    driver.ok(driver.io({ opcode: 1, ...command }));
    for (const address of addresses) driver.data(address, 4096).fill(0);
    driver.ok(driver.io({ opcode: 2, ...command }));
    addresses.forEach((address, i) => {
      expect(driver.data(address, 4096)).toEqual(sent[i]);
    });
  });

  test("a read arrives the same through the controller's buffer and straight from a disk in memory", () => {
    const content = pattern(new Uint8Array(1 << 20), 9);
    const straight = memoryDisk(content);
    const buffered: Disk = { ...straight };
    expect([straight.memory, buffered.memory]).toEqual([content, undefined]);
    const offset = DATA + 0x2e00;
    const reads = [straight, buffered].map((disk) => {
      const driver = bringUp({ disk });
      const addresses = [DATA, ...scatteredList(driver, 4)];
      driver.ok(driver.io({ opcode: 2, prp1: DATA, prp2: LIST, cdw10: 24, cdw12: 39 }));
      const scattered = addresses.map((address) => [...driver.data(address, 4096)]);
      driver.ok(driver.io({ opcode: 2, prp1: offset, prp2: DATA + 0x8000, cdw10: 3, cdw12: 2 }));
      return { scattered, crossing: [...driver.data(offset, 0x200), ...driver.data(DATA + 0x8000, 0x400)] };
    });
    expect(reads[0]).toEqual(reads[1]);
    expect(reads[0]?.scattered.flat()).toEqual([...content.subarray(24 * 512, 64 * 512)]);
    expect(reads[0]?.crossing).toEqual([...content.subarray(3 * 512, 6 * 512)]);
  });

  test("contiguous pages are one transfer", () => {
    const driver = bringUp();
    for (let i = 0; i < 31; i++) setEntry(driver, LIST + i * 8, DATA + 0x1000 * (i + 1));
    driver.memory.transfers = 0;
    driver.ok(driver.io({ opcode: 2, prp1: DATA, prp2: LIST, cdw12: 255 }));
    // Command, list, data, completion.
    expect(driver.memory.transfers).toBe(4);
  });

  test("4 KiB blocks", () => {
    const driver = bringUp({ blockSize: 4096 });
    const sent = pattern(driver.data(DATA, 4096), 9);
    driver.ok(driver.io({ opcode: 1, prp1: DATA, cdw10: 2047 }));
    driver.ok(driver.io({ opcode: 2, prp1: DATA + 0x4000, cdw10: 2047 }));
    expect(driver.data(DATA + 0x4000, 4096)).toEqual(sent);
    expect(driver.io({ opcode: 2, prp1: DATA, cdw10: 2048 })?.status).toBe(0x80 | DNR);
  });

  test.each([
    ["beyond the end", { opcode: 2, cdw10: 16384 }, 0x80 | DNR],
    ["over the end", { opcode: 2, cdw10: 16383, cdw12: 1 }, 0x80 | DNR],
    ["far beyond", { opcode: 1, cdw10: 0xffffffff, cdw11: 0xffffffff }, 0x80 | DNR],
    ["larger than MDTS", { opcode: 2, cdw12: 1024 }, 0x02 | DNR],
    ["namespace 0", { opcode: 2, nsid: 0 }, 0x0b | DNR],
    ["namespace 2", { opcode: 1, nsid: 2 }, 0x0b | DNR],
    ["broadcast read", { opcode: 2, nsid: 0xffffffff }, 0x0b | DNR],
    ["compare", { opcode: 5 }, 0x01 | DNR],
    ["odd PRP1", { opcode: 2, prp1: DATA + 1 }, 0x13 | DNR],
    ["odd PRP2", { opcode: 2, prp1: DATA, prp2: DATA + 0x1200, cdw12: 15 }, 0x13 | DNR],
    ["odd list", { opcode: 2, prp1: DATA, prp2: LIST + 4, cdw12: 31 }, 0x13 | DNR],
    ["memory that refuses", { opcode: 2, prp1: 0x1000 }, 0x04],
    ["list that refuses", { opcode: 2, prp1: DATA, prp2: 0x2000, cdw12: 31 }, 0x04],
    ["SGL", { opcode: 2, flags: 0x80 }, 0x02 | DNR],
  ])("%s is refused", (_name, command, status) => {
    const driver = bringUp();
    const before = driver.device.controller.statistics.readCommands;
    expect(driver.io({ prp1: DATA, ...command })?.status).toBe(status);
    expect(driver.device.controller.statistics.readCommands).toBe(before);
  });
});

describe("pci nvme: other I/O commands", () => {
  test("flush takes the namespace and the broadcast", () => {
    const driver = bringUp();
    driver.ok(driver.io({ opcode: 0 }));
    driver.ok(driver.io({ opcode: 0, nsid: 0xffffffff }));
  });

  test("write zeroes clears exactly its blocks, also beyond the transfer limit", () => {
    const bytes = new Uint8Array(8 << 20).fill(0xaa);
    const driver = bringUp({ disk: memoryDisk(bytes) });
    driver.ok(driver.io({ opcode: 8, cdw10: 3, cdw12: 2999 }));
    expect(bytes.subarray(0, 3 * 512).every((byte) => byte === 0xaa)).toBe(true);
    expect(bytes.subarray(3 * 512, 3003 * 512).every((byte) => byte === 0)).toBe(true);
    expect(bytes[3003 * 512]).toBe(0xaa);
    expect(driver.io({ opcode: 8, cdw10: 16000, cdw12: 1000 })?.status).toBe(0x80 | DNR);
  });

  test("deallocate drops its ranges and checks all of them first", () => {
    const bytes = new Uint8Array(1 << 20).fill(0x55);
    const driver = bringUp({ disk: memoryDisk(bytes) });
    const { view, base } = driver.memory;
    const range = (n: number, start: number, blocks: number): void => {
      view.setUint32(DATA - base + n * 16 + 4, blocks, true);
      view.setUint32(DATA - base + n * 16 + 8, start, true);
    };
    range(0, 4, 2);
    range(1, 2047, 2);
    expect(driver.io({ opcode: 9, prp1: DATA, cdw10: 1, cdw11: 4 })?.status).toBe(0x80 | DNR);
    expect(bytes[4 * 512]).toBe(0x55);
    range(1, 2047, 1);
    driver.ok(driver.io({ opcode: 9, prp1: DATA, cdw10: 1, cdw11: 4 }));
    expect([bytes[3 * 512], bytes[4 * 512], bytes[6 * 512], bytes[2047 * 512]]).toEqual([0x55, 0, 0x55, 0]);
  });

  test("a read-only disk refuses every change", () => {
    const disk: Disk = { ...memoryDisk(1 << 20), readonly: true };
    const driver = bringUp({ disk });
    for (const opcode of [1, 8]) expect(driver.io({ opcode, prp1: DATA })?.status).toBe(0x20 | DNR);
    driver.ok(driver.admin({ opcode: 6, nsid: 1, prp1: DATA }));
    expect(driver.data(DATA, 100)[99]).toBe(1);
  });

  test("disk errors become media errors", () => {
    const disk: Disk = { ...memoryDisk(1 << 20), read: () => -5, write: () => -5, flush: () => -5 };
    const driver = bringUp({ disk });
    expect(driver.io({ opcode: 2, prp1: DATA })?.status).toBe(0x281);
    expect(driver.io({ opcode: 1, prp1: DATA })?.status).toBe(0x280);
    expect(driver.io({ opcode: 0 })?.status).toBe(0x280);
  });

  test("FUA and a disabled write cache flush with the write", () => {
    let flushes = 0;
    const memory = memoryDisk(1 << 20);
    const disk: Disk = { ...memory, flush: () => ++flushes && 0 };
    const driver = bringUp({ disk });
    driver.ok(driver.io({ opcode: 1, prp1: DATA }));
    expect(flushes).toBe(0);
    driver.ok(driver.io({ opcode: 1, prp1: DATA, cdw12: 0x40000000 }));
    expect(flushes).toBe(1);
    driver.ok(driver.admin({ opcode: 9, cdw10: 6, cdw11: 0 }));
    driver.ok(driver.io({ opcode: 1, prp1: DATA }));
    expect(flushes).toBe(2);
  });
});

describe("pci nvme: queues", () => {
  test("phases flip on every wrap and completions name queue and head", () => {
    const driver = bringUp();
    driver.createIoQueues(2, 4);
    for (let i = 0; i < 21; i++) {
      const done = driver.ok(driver.io({ opcode: 2, prp1: DATA }, 2));
      expect(done).toMatchObject({ sqId: 2, sqHead: (i + 1) % 4 });
    }
  });

  test("a full completion queue stops fetching until the host consumes", () => {
    const driver = bringUp();
    driver.createIoQueues(2, 8);
    for (let i = 0; i < 7; i++) driver.place(2, { opcode: 2, nsid: 1, prp1: DATA });
    driver.ring(2);
    const first = driver.reap(2, false);
    for (let i = 0; i < 4; i++) driver.place(2, { opcode: 0, nsid: 1 });
    driver.ring(2);
    const queue = driver.device.controller.completionQueues[2]!;
    expect(queue.tail).toBe(7);
    expect(first?.sqHead).toBe(1);
    let reaped = 1;
    while (driver.reap(2) !== null) reaped++;
    expect(reaped).toBe(11);
  });

  test("one doorbell completes everything that is queued, in order", () => {
    const driver = bringUp();
    const cids = Array.from({ length: 40 }, () => driver.place(1, { opcode: 2, nsid: 1, prp1: DATA }));
    driver.ring(1);
    expect(cids.map(() => driver.reap(1)?.cid)).toEqual(cids);
  });

  test("a doorbell rung inside an interrupt extends the work without recursion", () => {
    const driver = bringUp({}, 2);
    let depth = 0;
    let deepest = 0;
    let left = 5000;
    driver.irq.onMessage = () => {
      deepest = Math.max(deepest, ++depth);
      while (driver.reap(1) !== null) {
        if (left-- > 0) driver.place(1, { opcode: 2, nsid: 1, prp1: DATA });
      }
      driver.ring(1);
      depth--;
    };
    driver.place(1, { opcode: 2, nsid: 1, prp1: DATA });
    driver.ring(1);
    expect(left).toBe(-1);
    expect(deepest).toBe(1);
  });
});

describe("pci nvme: interrupts", () => {
  test("MSI-X: one message a doorbell and queue, on the queue's vector", () => {
    const driver = bringUp({}, 2);
    driver.irq.messages.length = 0;
    driver.place(1, { opcode: 2, nsid: 1, prp1: DATA });
    driver.place(1, { opcode: 2, nsid: 1, prp1: DATA });
    driver.ring(1);
    expect(driver.irq.messages).toEqual([{ vector: 1, addressHi: 0, addressLo: 0xfee00000, data: 0x41 }]);
    expect(driver.irq.level).toBe(false);
  });

  test("MSI-X: a masked vector is pending until unmasked", () => {
    const driver = bringUp({}, 2);
    driver.irq.messages.length = 0;
    driver.write32(0x2000 + 16 + 12, 1);
    driver.ok(driver.io({ opcode: 2, prp1: DATA }));
    expect(driver.irq.messages).toEqual([]);
    expect(driver.read32(0x3000)).toBe(2);
    driver.write32(0x2000 + 16 + 12, 0);
    expect(driver.irq.messages.map((each) => each.vector)).toEqual([1]);
    expect(driver.read32(0x3000)).toBe(0);
  });

  test("INTx: level until consumed, masked by INTMS and by COMMAND", () => {
    const driver = new NvmeDriver(nvme({ disk: memoryDisk(1 << 20) }));
    driver.enable();
    driver.device.config.write(4, 2, 0x0006);
    driver.place(0, { opcode: 0x0a, cdw10: 7 });
    driver.ring(0);
    expect(driver.irq.level).toBe(true);
    driver.write32(0x0c, 1);
    expect([driver.irq.level, driver.read32(0x0c)]).toEqual([false, 1]);
    driver.write32(0x10, 1);
    expect(driver.irq.level).toBe(true);
    driver.device.config.write(4, 2, 0x0406);
    expect([driver.irq.level, driver.device.config.read(6, 2) & 8]).toEqual([false, 8]);
    driver.device.config.write(4, 2, 0x0006);
    expect(driver.irq.level).toBe(true);
    driver.reap(0);
    expect(driver.irq.level).toBe(false);
  });

  test("MSI: held back by INTMS, vectors limited to those enabled", () => {
    const driver = new NvmeDriver(nvme({ disk: memoryDisk(1 << 20), interrupts: "msi" }));
    const { msi, config } = driver.device;
    config.write(msi!.offset + 2, 2, 1 << 4);
    msi!.program(0, 0xfee00000, 0x50);
    driver.enable();
    driver.createIoQueues(1, 64, 1);
    expect(driver.admin({ opcode: 5, prp1: DATA, cdw10: 0x003f0002, cdw11: 0x20003 })?.status).toBe(0x108 | DNR);
    driver.irq.messages.length = 0;
    driver.write32(0x0c, 2);
    driver.ok(driver.io({ opcode: 2, prp1: DATA }));
    expect(driver.irq.messages).toEqual([]);
    driver.write32(0x10, 2);
    expect(driver.irq.messages.map((each) => each.data)).toEqual([0x51]);
  });
});
