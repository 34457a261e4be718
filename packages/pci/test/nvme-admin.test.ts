import { describe, expect, test } from "vitest";
import { memoryDisk, nvme } from "../src/devices/index.ts";
import { CC_RUN, DATA, NvmeDriver } from "./support/nvme-driver.ts";

const DNR = 0x4000;
const bringUp = (options = {}): NvmeDriver => {
  const driver = new NvmeDriver(nvme({ disk: memoryDisk(1 << 20), ...options }));
  driver.enable();
  return driver;
};

describe("pci nvme: registers", () => {
  test("shows capabilities, version and a controller that becomes ready", () => {
    const driver = new NvmeDriver(nvme({ disk: memoryDisk(1 << 20) }));
    expect(driver.read32(0)).toBe(0x0f0107ff);
    expect(driver.read32(4)).toBe(0x00400020);
    expect(driver.read32(8)).toBe(0x00010400);
    expect(driver.read32(0x1c)).toBe(0);
    driver.enable();
    expect(driver.read32(0x1c)).toBe(1);
    expect(driver.read32(0x14)).toBe(CC_RUN | 1);
  });

  test("an 8-byte read is two dwords and narrow reads give their part", () => {
    const device = nvme({ disk: memoryDisk(512) });
    const out = new Uint32Array(2);
    device.readBar(0, 0, 8, out);
    expect([...out]).toEqual([0x0f0107ff, 0x00400020]);
    device.readBar(0, 2, 2, out);
    expect([...out]).toEqual([0x0f01, 0]);
    device.readBar(0, 8 + 1, 1, out);
    expect(out[0]).toBe(4);
  });

  test("disabling forgets queues but keeps the admin queue registers", () => {
    const driver = bringUp();
    driver.createIoQueues(1);
    driver.write32(0x14, CC_RUN);
    expect(driver.read32(0x1c)).toBe(0);
    expect(driver.read32(0x24)).toBe(0x001f001f);
    driver.enable();
    driver.createIoQueues(1);
  });

  test("shutdown reports completion and takes no more commands until a reset", () => {
    const driver = bringUp();
    driver.write32(0x14, CC_RUN | 1 | 0x4000);
    expect(driver.read32(0x1c)).toBe(1 | 8);
    expect(driver.admin({ opcode: 0x0a, cdw10: 7 })).toBeNull();
    driver.write32(0x14, 0);
    expect(driver.read32(0x1c)).toBe(0);
  });

  test.each([
    ["admin queues of one entry", 0x14, CC_RUN | 1, 0],
    ["a page size beyond MPSMAX", 0x14, CC_RUN | 1 | (5 << 7), 0x001f001f],
    ["an unknown command set", 0x14, CC_RUN | 1 | (6 << 4), 0x001f001f],
    ["an arbitration scheme it lacks", 0x14, CC_RUN | 1 | (1 << 11), 0x001f001f],
  ])("%s is a fatal configuration", (_name, offset, cc, aqa) => {
    const driver = new NvmeDriver(nvme({ disk: memoryDisk(512) }));
    driver.write32(0x24, aqa);
    driver.write32(offset, cc);
    expect(driver.read32(0x1c)).toBe(2);
    driver.write32(offset, 0);
    expect(driver.read32(0x1c)).toBe(0);
  });

  test("queue memory that cannot be reached makes the controller fatal", () => {
    const driver = bringUp();
    driver.memory.hole = { from: DATA - 0x10000, to: DATA };
    expect(driver.admin({ opcode: 6, prp1: DATA, cdw10: 1 })).toBeNull();
    expect(driver.read32(0x1c) & 2).toBe(2);
  });

  test("a function-level reset disables the controller and leaves the admin queue registers", () => {
    const driver = bringUp();
    const at = driver.device.config.findCapability(0x10);
    driver.device.config.write(at + 8, 2, 0x8000);
    expect(driver.read32(0x14)).toBe(0);
    expect(driver.read32(0x1c)).toBe(0);
    expect(driver.read32(0x24)).toBe(0x001f001f);
    expect(driver.device.command).toBe(0);
    driver.device.reset("power");
    expect([driver.read32(0x24), driver.read32(0x28)]).toEqual([0, 0]);
  });
});

describe("pci nvme: identify", () => {
  test("controller, namespace, list and descriptors", () => {
    const driver = bringUp({ serial: "S1", model: "M1" });
    const page = driver.data(DATA, 4096);
    driver.ok(driver.admin({ opcode: 6, prp1: DATA, cdw10: 1 }));
    expect(page[512]).toBe(0x66);
    expect(page[513]).toBe(0x44);
    expect(page[516]).toBe(1);
    expect(page[77]).toBe(7);
    expect(Buffer.from(page.subarray(4, 24)).toString()).toBe("S1".padEnd(20));
    expect(Buffer.from(page.subarray(24, 64)).toString()).toBe("M1".padEnd(40));
    driver.ok(driver.admin({ opcode: 6, nsid: 1, prp1: DATA, cdw10: 0 }));
    expect(new DataView(page.buffer, page.byteOffset).getUint32(0, true)).toBe(2048);
    expect(page[130]).toBe(9);
    driver.ok(driver.admin({ opcode: 6, nsid: 0, prp1: DATA, cdw10: 2 }));
    expect([...page.subarray(0, 8)]).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
    driver.ok(driver.admin({ opcode: 6, nsid: 1, prp1: DATA, cdw10: 2 }));
    expect(page[0]).toBe(0);
    driver.ok(driver.admin({ opcode: 6, nsid: 1, prp1: DATA, cdw10: 3 }));
    expect([page[0], page[1], page[20]]).toEqual([3, 16, 0]);
  });

  test.each([
    [{ cdw10: 5, nsid: 1 }, 0x02 | DNR],
    [{ cdw10: 6 }, 0x02 | DNR],
    [{ cdw10: 0, nsid: 0 }, 0x0b | DNR],
    [{ cdw10: 0, nsid: 2 }, 0x0b | DNR],
    [{ cdw10: 2, nsid: 0xffffffff }, 0x0b | DNR],
    [{ cdw10: 1, prp1: DATA + 2 }, 0x13 | DNR],
    [{ cdw10: 1, prp1: 0x1000 }, 0x04],
    [{ cdw10: 1, prp1: DATA + 8, prp2: DATA + 0x2004 }, 0x13 | DNR],
  ])("%j ends with status %i", (command, status) => {
    const driver = bringUp();
    expect(driver.admin({ opcode: 6, prp1: DATA, ...command })?.status).toBe(status);
  });
});

describe("pci nvme: admin commands", () => {
  test.each([0x0d, 0x10, 0x11, 0x15, 0x18, 0x7c, 0x80, 0x81, 0xff])("opcode %i is invalid", (opcode) => {
    expect(bringUp().admin({ opcode })?.status).toBe(0x01 | DNR);
  });

  test("scatter-gather lists and fused commands are invalid fields", () => {
    const driver = bringUp();
    expect(driver.admin({ opcode: 6, flags: 0x40, prp1: DATA, cdw10: 1 })?.status).toBe(0x02 | DNR);
    expect(driver.admin({ opcode: 6, flags: 0x01, prp1: DATA, cdw10: 1 })?.status).toBe(0x02 | DNR);
  });

  test("grants at most the queues there are", () => {
    const driver = bringUp({ queues: 4 });
    expect(driver.ok(driver.admin({ opcode: 9, cdw10: 7, cdw11: 0x000f000f })).result).toBe(0x00030003);
    expect(driver.ok(driver.admin({ opcode: 9, cdw10: 7, cdw11: 0x00000001 })).result).toBe(0x00000001);
    expect(driver.ok(driver.admin({ opcode: 0x0a, cdw10: 7 })).result).toBe(0x00030003);
    expect(driver.admin({ opcode: 9, cdw10: 7, cdw11: 0xffff0000 })?.status).toBe(0x02 | DNR);
    driver.createIoQueues(1);
    expect(driver.admin({ opcode: 9, cdw10: 7, cdw11: 0 })?.status).toBe(0x0c | DNR);
  });

  test.each([
    [0x01, 0x07070703, 0x07070703],
    [0x06, 0, 0],
    [0x08, 0x1234, 0x1234],
    [0x0a, 1, 1],
    [0x0b, 0x1ff, 0x1ff],
  ])("feature %i keeps its value and comes back with select default", (id, value, expected) => {
    const driver = bringUp();
    const initial = driver.ok(driver.admin({ opcode: 0x0a, cdw10: id })).result;
    driver.ok(driver.admin({ opcode: 9, cdw10: id, cdw11: value }));
    expect(driver.ok(driver.admin({ opcode: 0x0a, cdw10: id })).result).toBe(expected);
    expect(driver.ok(driver.admin({ opcode: 0x0a, cdw10: id | 0x100 })).result).toBe(initial);
    expect(driver.ok(driver.admin({ opcode: 0x0a, cdw10: id | 0x300 })).result).toBe(4);
    expect(driver.admin({ opcode: 9, cdw10: (id | 0x80000000) >>> 0, cdw11: value })?.status).toBe(0x10d | DNR);
  });

  test("unknown features, power states and vectors are invalid fields", () => {
    const driver = bringUp({ queues: 1 });
    expect(driver.admin({ opcode: 9, cdw10: 0x03 })?.status).toBe(0x02 | DNR);
    expect(driver.admin({ opcode: 0x0a, cdw10: 0xc0 })?.status).toBe(0x02 | DNR);
    expect(driver.admin({ opcode: 9, cdw10: 2, cdw11: 1 })?.status).toBe(0x02 | DNR);
    expect(driver.admin({ opcode: 9, cdw10: 9, cdw11: 2 })?.status).toBe(0x02 | DNR);
    driver.ok(driver.admin({ opcode: 9, cdw10: 9, cdw11: 0x10001 }));
    expect(driver.ok(driver.admin({ opcode: 0x0a, cdw10: 9, cdw11: 1 })).result).toBe(0x10001);
  });

  test.each([
    ["CQ id 0", 5, { cdw10: 0x003f0000, cdw11: 3 }, 0x101],
    ["CQ id beyond the queues", 5, { cdw10: 0x003f0005, cdw11: 3 }, 0x101],
    ["CQ of one entry", 5, { cdw10: 1, cdw11: 3 }, 0x102],
    ["CQ above MQES", 5, { cdw10: 0x08000001, cdw11: 3 }, 0x102],
    ["CQ not contiguous", 5, { cdw10: 0x003f0001, cdw11: 2 }, 0x002],
    ["CQ misaligned", 5, { cdw10: 0x003f0001, cdw11: 3, prp1: DATA + 4 }, 0x013],
    ["CQ vector without messages", 5, { cdw10: 0x003f0001, cdw11: 0x10003 }, 0x108],
    ["SQ without CQ", 1, { cdw10: 0x003f0001, cdw11: 0x20001 }, 0x100],
    ["SQ on the admin CQ", 1, { cdw10: 0x003f0001, cdw11: 1 }, 0x100],
    ["delete SQ 0", 0, { cdw10: 0 }, 0x101],
    ["delete an SQ that is not there", 0, { cdw10: 3 }, 0x101],
    ["delete CQ 0", 4, { cdw10: 0 }, 0x101],
  ])("%s is refused", (_name, opcode, command, status) => {
    const driver = bringUp({ queues: 4 });
    expect(driver.admin({ opcode, prp1: DATA, ...command })?.status).toBe(status | DNR);
  });

  test("a completion queue in use cannot be deleted, and ids can be used again", () => {
    const driver = bringUp();
    driver.createIoQueues(1);
    expect(driver.admin({ opcode: 4, cdw10: 1 })?.status).toBe(0x10c | DNR);
    expect(driver.admin({ opcode: 5, prp1: DATA, cdw10: 0x003f0001, cdw11: 3 })?.status).toBe(0x101 | DNR);
    driver.ok(driver.admin({ opcode: 0, cdw10: 1 }));
    driver.ok(driver.admin({ opcode: 4, cdw10: 1 }));
    driver.createIoQueues(1);
  });

  test("queues need the entry sizes of CC", () => {
    const driver = new NvmeDriver(nvme({ disk: memoryDisk(512) }));
    driver.enable(0);
    expect(driver.admin({ opcode: 5, prp1: DATA, cdw10: 0x003f0001, cdw11: 3 })?.status).toBe(0x102 | DNR);
  });
});

describe("pci nvme: log pages and events", () => {
  test("SMART, firmware slot and effects", () => {
    const driver = bringUp({ firmware: "9.1" });
    driver.createIoQueues(1);
    driver.ok(driver.io({ opcode: 2, prp1: DATA }));
    const page = driver.data(DATA, 4096);
    const view = new DataView(page.buffer, page.byteOffset, 4096);
    driver.ok(driver.admin({ opcode: 2, prp1: DATA, cdw10: 2 | (127 << 16) }));
    expect(view.getUint16(1, true)).toBe(303);
    expect(view.getUint32(64, true)).toBe(1);
    driver.ok(driver.admin({ opcode: 2, prp1: DATA, cdw10: 3 | (127 << 16) }));
    expect(Buffer.from(page.subarray(8, 11)).toString()).toBe("9.1");
    driver.ok(driver.admin({ opcode: 2, prp1: DATA, cdw10: 5 | (1023 << 16) }));
    expect([view.getUint32(6 * 4, true), view.getUint32(1024 + 4, true), view.getUint32(0x7c * 4, true)]).toEqual([
      1, 3, 0,
    ]);
  });

  test("the error log names the failed command, newest first", () => {
    const driver = bringUp();
    driver.createIoQueues(1);
    const failed = driver.io({ opcode: 0x55, cdw10: 7 })!;
    driver.ok(driver.admin({ opcode: 2, prp1: DATA, cdw10: 1 | (63 << 16) }));
    const page = driver.data(DATA, 64);
    const view = new DataView(page.buffer, page.byteOffset, 64);
    expect(view.getUint16(8, true)).toBe(1);
    expect(view.getUint16(10, true)).toBe(failed.cid);
    expect(view.getUint16(12, true) >> 1).toBe(failed.status);
    expect(view.getUint32(16, true)).toBe(7);
  });

  test("unknown pages and offsets beyond a page are refused", () => {
    const driver = bringUp();
    expect(driver.admin({ opcode: 2, prp1: DATA, cdw10: 0x80 })?.status).toBe(0x109 | DNR);
    const cdw12 = 516;
    expect(driver.admin({ opcode: 2, prp1: DATA, cdw10: 2, cdw12 })?.status).toBe(0x02 | DNR);
  });

  test("an event request stays outstanding until a bad doorbell, then is masked until the log is read", () => {
    const driver = bringUp();
    expect(driver.admin({ opcode: 0x0c })).toBeNull();
    driver.write32(0x1000 + 8 * 9, 1);
    expect(driver.ok(driver.reap(0)).result).toBe(0x00010000);
    expect(driver.admin({ opcode: 0x0c })).toBeNull();
    driver.write32(0x1000, 0x7fff);
    expect(driver.reap(0)).toBeNull();
    driver.ok(driver.admin({ opcode: 2, prp1: DATA, cdw10: 1 }));
    driver.write32(0x1000, 0x7fff);
    expect(driver.ok(driver.reap(0)).result).toBe(0x00010100);
  });

  test("a temperature threshold below the temperature is a SMART event when enabled", () => {
    const driver = bringUp();
    expect(driver.admin({ opcode: 0x0c })).toBeNull();
    driver.ok(driver.admin({ opcode: 9, cdw10: 0x0b, cdw11: 2 }));
    driver.place(0, { opcode: 9, cdw10: 4, cdw11: 300 });
    driver.ring(0);
    const both = [driver.ok(driver.reap(0)), driver.ok(driver.reap(0))];
    expect(both.map((each) => each.result).sort()).toEqual([0, 0x00020101]);
  });

  test("event requests have a limit and can be aborted", () => {
    const driver = bringUp();
    const cids = [0, 1, 2, 3].map(() => driver.place(0, { opcode: 0x0c }));
    driver.ring(0);
    expect(driver.reap(0)).toBeNull();
    expect(driver.admin({ opcode: 0x0c })?.status).toBe(0x105 | DNR);
    expect(driver.ok(driver.admin({ opcode: 8, cdw10: cids[2]! * 0x10000 })).result).toBe(0);
    expect(driver.reap(0)).toMatchObject({ cid: cids[2], status: 0x07 });
    expect(driver.ok(driver.admin({ opcode: 8, cdw10: 0x12340001 })).result).toBe(1);
  });
});
