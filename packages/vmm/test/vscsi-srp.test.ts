import * as H from "@minivmm/kvm";
import { describe, expect, it } from "vitest";
import { decodeLun, encodeLun, lunAddress } from "../src/machines/pseries/vio/vscsi/lun.ts";
import { DATA, type Descriptor, IU, VscsiClient } from "./vscsi-client.ts";

const READ_8_BLOCKS = [0x28, 0, 0, 0, 0, 4, 0, 0, 8, 0];
const WRITE_8_BLOCKS = [0x2a, 0, 0, 0, 0, 4, 0, 0, 8, 0];
const BYTES = 8 * 512;
const FROM = 4 * 512;

/** `count` buffers of `length` bytes that do not touch. */
function buffers(count: number, length: number): Descriptor[] {
  return Array.from({ length: count }, (_, i) => ({ address: DATA + i * (length + 24), length }));
}

function gather(client: VscsiClient, list: readonly Descriptor[]): Uint8Array {
  return Buffer.concat(list.map(({ address, length }) => client.bench.ram.u8.slice(address, address + length)));
}

describe("vmm pseries vscsi: SRP login and management", () => {
  const login = (itIuLength: number, formats: number): Uint8Array => {
    const unit = new Uint8Array(64);
    const view = new DataView(unit.buffer);
    view.setBigUint64(8, VscsiClient.tag);
    view.setUint32(16, itIuLength);
    view.setUint16(24, formats);
    return unit;
  };

  it("logs a client in and tells it how much it may send", () => {
    const client = new VscsiClient().open();
    expect(client.exchange(login(256, 6))).toMatchObject({ crqStatus: 0, tag: VscsiClient.tag });
    const { ram } = client.bench;
    expect(ram.u8[IU]).toBe(0xc0);
    expect([ram.u32be(IU + 4), ram.u32be(IU + 16), ram.u32be(IU + 20), ram.u16be(IU + 24)]).toEqual([62, 256, 256, 6]);
  });

  it.each([
    ["units of more than 256 bytes", 257, 6, 0x10002],
    ["descriptor formats that do not exist", 256, 1, 0x10004],
  ])("rejects a login with %s", (_, length, formats, reason) => {
    const client = new VscsiClient().open();
    client.exchange(login(length, formats));
    expect([client.bench.ram.u8[IU], client.bench.ram.u32be(IU + 4)]).toEqual([0xc2, reason]);
  });

  const mad = (type: number, length: number, buffer = DATA): Uint8Array => {
    const unit = new Uint8Array(24);
    const view = new DataView(unit.buffer);
    view.setUint32(0, type);
    view.setUint16(6, length);
    view.setBigUint64(8, VscsiClient.tag);
    view.setUint32(20, buffer);
    return unit;
  };
  const askMad = (client: VscsiClient, unit: Uint8Array): number => {
    client.bench.ram.writeBytes(IU, unit);
    expect(client.send(unit.length, 2)).toBe(H.H_SUCCESS);
    expect([...client.takeCrq()!.subarray(0, 4)]).toEqual([0x80, 2, 0, 0]);
    return client.bench.ram.u16be(IU + 4);
  };

  it("tells what it is, and no more than there is room for", () => {
    const client = new VscsiClient().open();
    expect(askMad(client, mad(3, 148))).toBe(0);
    const { ram } = client.bench;
    expect(new TextDecoder().decode(ram.u8.slice(DATA, DATA + 5))).toBe("16.a\0");
    expect([ram.u32be(DATA + 108), ram.u32be(DATA + 112), ram.u32be(DATA + 116)]).toEqual([1, 2, 2 * 1024 * 1024]);
    ram.u8.fill(0xee, DATA, DATA + 0x1000);
    askMad(client, mad(3, 10));
    expect(ram.u8.slice(DATA, DATA + 16)).toEqual(
      Uint8Array.from([...Buffer.from("16.a"), 0, 0, 0, 0, ...Buffer.from("mi"), ...Array(6).fill(0xee)]),
    );
    askMad(client, mad(3, 0xffff));
    expect(ram.u8[DATA + 148]).toBe(0xee);
  });

  it("declines every capability that a client offers, and keeps its name", () => {
    const client = new VscsiClient().open();
    const { ram } = client.bench;
    ram.u8.fill(0x41, DATA, DATA + 92);
    expect(askMad(client, mad(5, 92))).toBe(0);
    expect([
      ram.u32be(DATA),
      ram.u16be(DATA + 74),
      ram.u32be(DATA + 76),
      ram.u16be(DATA + 86),
      ram.u32be(DATA + 88),
    ]).toEqual([0, 0, 0, 0, 0]);
    expect(ram.u8.slice(DATA + 4, DATA + 74).every((byte) => byte === 0x41)).toBe(true);
  });

  it("says when it does not know a datagram, or cannot reach its buffer", () => {
    const client = new VscsiClient().open();
    for (const type of [0, 1, 2, 4, 8, 0xffffffff]) expect(askMad(client, mad(type, 24))).toBe(0xf1);
    expect(askMad(client, mad(3, 148, 0x9_0000))).toBe(0xf7);
    expect(askMad(client, mad(5, 92, 0x9_0000))).toBe(0xf7);
    expect(askMad(client, mad(3, 148).subarray(0, 20))).toBe(0xf7);
  });
});

describe("vmm pseries vscsi: SRP commands", () => {
  it("moves data through one direct buffer", () => {
    const client = new VscsiClient().open();
    const { data, ...answer } = client.read(READ_8_BLOCKS, BYTES);
    expect(answer).toMatchObject({ crqStatus: 0, tag: VscsiClient.tag, status: 0, flags: 0, sense: 0 });
    expect(Buffer.compare(data, client.disk.subarray(FROM, FROM + BYTES))).toBe(0);
  });

  it.each([
    ["that all stand in the unit", 8, 512, 10],
    ["whose rest is in a table", 16, 256, 10],
    ["that are all in a table", 32, 128, 0],
    ["that end inside a page and cross another", 2, 2048, 10],
  ])("moves data through indirect buffers %s", (_, count, length, inline) => {
    const client = new VscsiClient().open();
    const list = buffers(count, length);
    expect(client.command({ cdb: READ_8_BLOCKS, in: list, inline })).toMatchObject({ status: 0, flags: 0 });
    expect(Buffer.compare(gather(client, list), client.disk.subarray(FROM, FROM + BYTES))).toBe(0);

    const expected = client.disk.slice().fill(0x5a, FROM, FROM + BYTES);
    client.bench.ram.u8.fill(0x5a, DATA, DATA + 0x2000);
    expect(client.command({ cdb: WRITE_8_BLOCKS, out: list, inline })).toMatchObject({ status: 0, flags: 0 });
    expect(Buffer.compare(client.disk, expected)).toBe(0);
  });

  it("moves the data-in of a command that has buffers in both directions", () => {
    const client = new VscsiClient().open();
    const list = buffers(3, 2048);
    const answer = client.command({ cdb: READ_8_BLOCKS, out: [list[0]!], in: list.slice(1) });
    expect(answer).toMatchObject({ status: 0, flags: 8, outResidual: 2048 });
    expect(Buffer.compare(gather(client, list.slice(1)), client.disk.subarray(FROM, FROM + BYTES))).toBe(0);
  });

  it("skips a longer CDB", () => {
    const client = new VscsiClient().open();
    const unit = client.commandUnit({ cdb: READ_8_BLOCKS, in: [{ address: DATA, length: BYTES }] });
    unit.copyWithin(48 + 16, 48, 64);
    unit.fill(0, 48, 64);
    unit[31] = 4 << 2;
    expect(client.exchange(unit)).toMatchObject({ status: 0, flags: 0 });
    expect(client.bench.ram.u8[DATA + 1]).toBe(client.disk[FROM + 1]);
  });

  it("counts what did not fit, and what was left over", () => {
    const client = new VscsiClient().open();
    expect(client.read(READ_8_BLOCKS, BYTES - 100)).toMatchObject({ status: 0, flags: 0x10, inResidual: 100 });
    expect(client.read(READ_8_BLOCKS, BYTES + 100)).toMatchObject({ status: 0, flags: 0x20, inResidual: 100 });
    expect(client.command({ cdb: READ_8_BLOCKS })).toMatchObject({ status: 0, flags: 0x10, inResidual: BYTES });
  });

  it("writes nothing when the client sends too little", () => {
    const client = new VscsiClient().open();
    const before = client.disk.slice();
    const answer = client.command({ cdb: WRITE_8_BLOCKS, out: [{ address: DATA, length: BYTES - 1 }] });
    expect(answer).toMatchObject({ status: 2, sense: 0x050e03, flags: 0x0a, outResidual: BYTES - 1 });
    expect(Buffer.compare(client.disk, before)).toBe(0);
  });

  it.each([
    ["not mapped", { address: 0x9_0000, length: BYTES }, undefined],
    ["mapped for the other direction only", { address: DATA, length: BYTES }, 1],
    ["outside the window", { address: 0x1000_0000, length: BYTES }, undefined],
    ["above 4 GiB", { address: 2 ** 40 + DATA, length: BYTES }, undefined],
    ["that wraps around 2^64", { address: 2 ** 64 - 2048, length: BYTES }, undefined],
  ])("answers a buffer %s with a data phase error", (_, buffer, permissions) => {
    const client = new VscsiClient().open();
    if (permissions !== undefined) client.map(DATA, permissions);
    const answer = client.command({ cdb: READ_8_BLOCKS, in: [buffer] });
    expect(answer).toMatchObject({ crqStatus: 0, status: 2, sense: 0x044b00 });
  });

  it("answers a table that cannot be read with a data phase error", () => {
    const client = new VscsiClient().open();
    const unit = client.commandUnit({ cdb: READ_8_BLOCKS, in: buffers(20, 256) });
    new DataView(unit.buffer).setUint32(52, 0x9_0000);
    expect(client.exchange(unit)).toMatchObject({ status: 2, sense: 0x044b00 });
  });

  const spoil = (change: (unit: Uint8Array, view: DataView) => void, length = 256) => {
    const client = new VscsiClient().open();
    const unit = client.commandUnit({ cdb: READ_8_BLOCKS, in: buffers(8, 512) });
    change(unit, new DataView(unit.buffer));
    return client.exchange(unit, length);
  };

  it.each<[string, (unit: Uint8Array, view: DataView) => void, number?]>([
    ["a format that does not exist", (unit) => unit.fill(0x03, 5, 6)],
    ["a format of immediate data to the device", (unit) => unit.fill(0x30, 5, 6)],
    ["a table length that is no whole descriptors", (_, view) => view.setUint32(48 + 12, 8 * 16 + 1)],
    ["more descriptors than a command can have", (_, view) => view.setUint32(48 + 12, 1025 * 16)],
    ["2^28 descriptors", (_, view) => view.setUint32(48 + 12, 0xfffffff0)],
    ["descriptors behind the end of the unit", () => undefined, 48 + 20 + 8 * 16 - 1],
    ["a longer CDB that leaves no room", (unit) => unit.fill(0xfc, 31, 32)],
  ])("answers %s with sense data about the unit", (_, change, length) => {
    expect(spoil(change, length)).toMatchObject({ crqStatus: 0, status: 2, sense: 0x050e03 });
  });

  it("believes descriptors and not their stated sum, and goes over empty ones", () => {
    const client = new VscsiClient().open();
    const list = [{ address: 0, length: 0 }, ...buffers(8, 512), { address: 1, length: 0 }];
    const unit = client.commandUnit({ cdb: READ_8_BLOCKS, in: list });
    new DataView(unit.buffer).setUint32(64, 12);
    expect(client.exchange(unit)).toMatchObject({ status: 0, flags: 0 });
    expect(Buffer.compare(gather(client, list), client.disk.subarray(FROM, FROM + BYTES))).toBe(0);
  });
});

describe("vmm pseries vscsi: units that make no sense", () => {
  it.each([
    ["a command that is too short", 2, 47],
    ["a login that is too short", 0, 63],
    ["task management that is too short", 1, 47],
    ["nothing", 0, 0],
    ["an unknown opcode", 0x77, 256],
    ["an answer", 0xc1, 256],
  ])("answers %s with a response code", (_, opcode, length) => {
    const client = new VscsiClient().open();
    const unit = new Uint8Array(256);
    unit[0] = opcode;
    expect(client.exchange(unit, length)).toMatchObject({ crqStatus: 0, response: 2 });
  });

  it("names a unit that is too long by its tag", () => {
    const client = new VscsiClient().open();
    const unit = client.commandUnit({ cdb: READ_8_BLOCKS });
    expect(client.exchange(unit, 257)).toMatchObject({ crqStatus: 2, tag: VscsiClient.tag });
    expect(client.exchange(unit, 0xffff)).toMatchObject({ crqStatus: 2, tag: VscsiClient.tag });
  });

  it("says that it failed when a unit cannot be fetched, or its answer not put there", () => {
    const client = new VscsiClient().open();
    expect(client.send(256, 1, 0x9_0000)).toBe(H.H_SUCCESS);
    expect(client.answer()).toMatchObject({ crqStatus: 0x10, tag: 0n });
    client.map(IU, 1);
    const unit = client.commandUnit({ cdb: READ_8_BLOCKS });
    expect(client.exchange(unit)).toMatchObject({ crqStatus: 0x10, tag: VscsiClient.tag });
    expect(client.adapter.counters.refused).toBe(2);
  });

  it("takes no notice of messages of other kinds", () => {
    const client = new VscsiClient().open();
    for (const high of [0, 0xc0020000, 0xff060000, 0x80000000, 0x80030000, 0x80070000, 0x40010000]) {
      expect(client.sendCrq([high, 256], [0, IU])).toBe(H.H_SUCCESS);
    }
    expect(client.takeCrq()).toBeUndefined();
    expect(client.adapter.counters.ignored).toBe(7);
  });
});

describe("vmm pseries vscsi: task management", () => {
  const manage = (client: VscsiClient, func: number, lun: readonly number[] = [0x80, 0]): number => {
    const unit = new Uint8Array(48);
    unit[0] = 1;
    unit.set(lun, 20);
    unit[30] = func;
    return client.exchange(unit).response;
  };

  it("has nothing left to abort, and tells the next command of a reset", () => {
    const client = new VscsiClient().open();
    for (const func of [1, 2, 4]) expect(manage(client, func)).toBe(0);
    expect(client.command({ cdb: [0] }).status).toBe(0);
    expect(manage(client, 8)).toBe(0);
    expect(client.read([0x12, 0, 0, 0, 36, 0], 36).status).toBe(0);
    expect(client.command({ cdb: [0] })).toMatchObject({ status: 2, sense: 0x062903 });
    expect(client.command({ cdb: [0] }).status).toBe(0);
  });

  it("does not know CLEAR ACA, other functions, and units that do not exist", () => {
    const client = new VscsiClient().open();
    expect(manage(client, 0x40)).toBe(4);
    expect(manage(client, 0)).toBe(2);
    expect(manage(client, 8, [0x81, 0])).toBe(2);
  });
});

describe("vmm pseries vscsi: LUN structures", () => {
  it.each<[string, number[], number]>([
    ["logical unit addressing", [0x85, 0x43], lunAddress(2, 5, 3)],
    ["peripheral addressing of unit 0", [0, 0], 0],
    ["peripheral addressing of unit 7", [0, 7], lunAddress(0, 0, 7)],
    ["peripheral addressing with a bus", [2, 5, 0, 3], lunAddress(2, 5, 3)],
    ["flat addressing", [0x40, 9], lunAddress(0, 0, 9)],
    ["flat addressing above what exists", [0x41, 0], -1],
    ["a bus above what exists", [0x3f, 5, 0, 0], -1],
    ["a target above what exists", [1, 64, 0, 0], -1],
    ["levels without an end", [1, 1, 1, 1, 1, 1, 1, 1], -1],
    ["the unit for REPORT LUNS", [0xc1, 1], -2],
    ["another well-known unit", [0xc1, 2], -1],
  ])("decode %s", (_, bytes, address) => {
    const lun = new Uint8Array(8);
    lun.set(bytes);
    expect(decodeLun(lun, 0)).toBe(address);
  });

  it("decode what was encoded", () => {
    const lun = new Uint8Array(8);
    for (let address = 0; address < 8 * 64 * 32; address++) {
      encodeLun(address, lun, 0);
      expect(decodeLun(lun, 0)).toBe(address);
    }
  });
});
