// A guest that lies to its virtual SCSI adapter: queues, information units, descriptors and mappings of any shape. The
// adapter answers or refuses; it never throws and never reaches memory that the TCE table does not give it.

import * as H from "@minivmm/kvm";
import { memoryDisk } from "@minivmm/pci/devices";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RAM_BYTES } from "./fakes.ts";
import { DATA, DISK_BYTES, IU, QUEUE, UNIT, VscsiClient } from "./vscsi-client.ts";

const PAGE = 0x1000;
const READ_BY_DEVICE = 1;
const WRITTEN_BY_DEVICE = 2;
const CODES = [H.H_SUCCESS, H.H_PARAMETER, H.H_RESOURCE, H.H_CLOSED, H.H_DROPPED];

/** The machine, and what the guest has mapped, noted apart from the machine's own table. */
class Watched extends VscsiClient {
  readonly mapped = new Map<number, number>();
  readonly trespasses: string[] = [];
  accesses = 0;

  constructor() {
    super({ disks: [{ disk: memoryDisk(DISK_BYTES) }, { disk: memoryDisk(512), target: 5, lun: 3 }] });
    const { ram } = this.bench;
    const { readBytes, writeBytes } = ram;
    ram.readBytes = (gpa, into) => {
      this.check("read", gpa, into.length, READ_BY_DEVICE);
      return readBytes.call(ram, gpa, into);
    };
    ram.writeBytes = (gpa, bytes) => {
      this.check("write", gpa, bytes.length, WRITTEN_BY_DEVICE);
      return writeBytes.call(ram, gpa, bytes);
    };
  }

  put(busPage: number, tce: number): void {
    if (this.bench.hcall(H.H_PUT_TCE, UNIT, busPage * PAGE, tce) === H.H_SUCCESS) this.mapped.set(busPage, tce);
  }

  private check(what: string, gpa: number, length: number, permission: number): void {
    this.accesses++;
    const page = gpa - (gpa % PAGE);
    const allowed = [...this.mapped.values()].some((tce) => tce - (tce % PAGE) === page && (tce & permission) !== 0);
    if (!allowed || (gpa % PAGE) + length > PAGE) this.trespasses.push(`${what} of ${length} bytes at ${gpa}`);
  }
}

type Act = (client: Watched) => void;

const word = fc.nat(0xffffffff);
const byte = fc.nat(255);
/** Bus addresses around the pages that acts map, and far ones. */
const address = fc.oneof(
  { arbitrary: fc.constantFrom(QUEUE, IU, IU + 0x1000, DATA, DATA + 0x1000), weight: 4 },
  { arbitrary: fc.tuple(fc.constantFrom(QUEUE, IU, DATA), fc.nat(0x3fff)).map(([a, b]) => a + b - 16), weight: 3 },
  fc.nat(0x1000_0000),
  fc.constantFrom(0x0fff_fff0, 0x1000_0000, 0xffff_fff8),
);
const high = fc.oneof({ arbitrary: fc.constant(0), weight: 12 }, word);
const length = fc.oneof(
  { arbitrary: fc.constantFrom(0, 1, 16, 64, 512, 4096, 0x2000), weight: 4 },
  fc.nat(0x1_0000),
  word,
);
const opcodes = fc.oneof(
  {
    arbitrary: fc.constantFrom(
      ...[0x00, 0x03, 0x08, 0x0a, 0x12, 0x1a, 0x25, 0x28, 0x2a, 0x35, 0x5a, 0x88, 0x8a, 0x91, 0x9e, 0xa0, 0xa8, 0xaa],
    ),
    weight: 6,
  },
  byte,
);

const mapping: fc.Arbitrary<Act> = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(QUEUE, IU, IU + 0x1000, DATA, DATA + 0x1000, 0x0fff_f000),
      fc.nat(0x1_0001).map((n) => n * PAGE),
    ),
    fc.oneof({ arbitrary: fc.nat(RAM_BYTES / PAGE), weight: 6 }, fc.constantFrom(0xfffff, 2 ** 40)),
    fc.nat(3),
  )
  .map(
    ([at, page, permissions]) =>
      (client) =>
        client.put(at / PAGE, page * PAGE + permissions),
  );

/** A place where a driver would have mapped its memory. */
const sensibleMapping: fc.Arbitrary<Act> = fc
  .constantFrom(QUEUE, IU, IU + 0x1000, DATA, DATA + 0x1000)
  .map((at) => (client) => client.put(at / PAGE, at + 3));

const queueAct: fc.Arbitrary<Act> = fc
  .tuple(
    fc.constantFrom(H.H_REG_CRQ, H.H_REG_CRQ, H.H_REG_CRQ, H.H_FREE_CRQ, H.H_ENABLE_CRQ, H.H_VIO_SIGNAL),
    fc.oneof({ arbitrary: fc.constant(UNIT), weight: 9 }, word),
    fc.oneof({ arbitrary: fc.constant(QUEUE), weight: 5 }, address, fc.nat(2)),
    fc.oneof({ arbitrary: fc.constant(PAGE), weight: 5 }, length),
    high,
  )
  .map(([token, unit, where, size, hi]) => (client) => {
    const code = client.bench.hcall(token, unit, [hi, where], [hi, size]);
    expect([...CODES, H.H_NOT_FOUND]).toContain(code);
  });

const descriptor = fc.tuple(high, address, length);

/** A unit that is mostly as it should be: each field plausible or not. */
const unitAct: fc.Arbitrary<Act> = fc
  .record({
    opcode: fc.oneof({ arbitrary: fc.constant(2), weight: 8 }, fc.constantFrom(0, 1, 3, 0x80, 0xc1)),
    formats: fc.oneof({ arbitrary: fc.constantFrom(0, 1, 2, 0x10, 0x20, 0x11, 0x22), weight: 6 }, byte),
    outCount: fc.oneof({ arbitrary: fc.nat(6), weight: 6 }, byte),
    inCount: fc.oneof({ arbitrary: fc.nat(6), weight: 6 }, byte),
    lun: fc.oneof(
      { arbitrary: fc.constantFrom([0x80, 0], [0, 0], [0x85, 3], [0xc1, 1]), weight: 5 },
      fc.array(byte, { maxLength: 8 }),
    ),
    additional: fc.oneof({ arbitrary: fc.constant(0), weight: 8 }, byte),
    cdb: fc.tuple(opcodes, fc.array(fc.oneof(fc.constantFrom(0, 0, 0, 1, 8), byte), { minLength: 15, maxLength: 15 })),
    body: fc.array(descriptor, { maxLength: 14 }),
    /** Makes the first descriptor that of a table. */
    tableEntries: fc.option(fc.oneof({ arbitrary: fc.nat(20), weight: 5 }, word), { freq: 6 }),
    noise: fc.array(fc.tuple(fc.nat(255), byte), { maxLength: 3 }),
    size: fc.oneof({ arbitrary: fc.constant(256), weight: 8 }, fc.nat(260), fc.nat(0xffff)),
    at: fc.oneof({ arbitrary: fc.constant(IU), weight: 8 }, address),
    hi: high,
    message: fc.oneof({ arbitrary: fc.constantFrom(0x8001_0000, 0x8001_0000, 0x8002_0000), weight: 9 }, word),
  })
  .map((r) => (client) => {
    const unit = new Uint8Array(256 + 16 * 16);
    const view = new DataView(unit.buffer);
    unit[0] = r.opcode;
    unit[5] = r.formats;
    unit[6] = r.outCount;
    unit[7] = r.inCount;
    unit.set(r.lun, 20);
    unit[31] = r.additional;
    unit[32] = r.cdb[0];
    unit.set(r.cdb[1], 33);
    let at = 48;
    const table = r.tableEntries !== null && ((r.formats & 0xf) === 2 || r.formats >>> 4 === 2) ? r.tableEntries : -1;
    r.body.forEach(([hi, lo, bytes], index) => {
      const first = index === 0 && table >= 0;
      view.setUint32(at, hi);
      view.setUint32(at + 4, lo);
      view.setUint32(at + 12, first ? (table * 16) >>> 0 : bytes);
      at += first ? 20 : 16;
    });
    for (const [where, value] of r.noise) unit[where] = value;
    client.bench.ram.u8.set(unit.subarray(0, 256), IU);
    const code = client.sendCrq([r.message, r.size], [r.hi, r.at]);
    expect(CODES).toContain(code);
  });

const rawMessage: fc.Arbitrary<Act> = fc.tuple(word, word, word, word).map(
  ([a, b, c, d]) =>
    (client) =>
      expect(CODES).toContain(client.sendCrq([a, b], [c, d])),
);

/** The guest's own stores: a list that changes, a ring that is full or emptied. */
const store: fc.Arbitrary<Act> = fc
  .tuple(fc.constantFrom(QUEUE, QUEUE, IU + 0x1000, DATA), fc.nat(0xfff), byte)
  .map(([page, offset, value]) => (client) => {
    if (page === QUEUE) client.bench.ram.u8.fill(value & 0x80, QUEUE, QUEUE + PAGE);
    else client.bench.ram.u8[page + offset] = value;
  });

const act: fc.Arbitrary<Act> = fc.oneof(
  { arbitrary: unitAct, weight: 8 },
  { arbitrary: sensibleMapping, weight: 4 },
  { arbitrary: mapping, weight: 2 },
  { arbitrary: queueAct, weight: 2 },
  rawMessage,
  store,
);

/** What a driver does first; the property then goes wrong from there. */
const start: Act = (client) => {
  for (const at of [QUEUE, IU, IU + 0x1000, DATA, DATA + 0x1000]) client.put(at / PAGE, at + 3);
  client.bench.hcall(H.H_REG_CRQ, UNIT, QUEUE, PAGE);
};

describe("vmm pseries vscsi: a hostile guest", () => {
  it("never makes the adapter throw, return an undefined code, or reach memory that is not mapped for it", () => {
    let accesses = 0;
    let commands = 0;
    fc.assert(
      fc.property(fc.nat(3), fc.array(act, { minLength: 1, maxLength: 60, size: "max" }), (coin, acts) => {
        const client = new Watched();
        if (coin > 0) start(client);
        for (const one of acts) one(client);
        expect(client.trespasses).toEqual([]);
        expect(client.bench.guardIntact()).toBe(true);
        accesses += client.accesses;
        commands += client.adapter.units.counters().commands;
      }),
      { numRuns: 200 },
    );
    // The acts are worth something only if many of them get as far as a disk.
    expect(commands).toBeGreaterThan(60);
    expect(accesses).toBeGreaterThan(1500);
  });

  it("answers every unit that it accepts exactly once", () => {
    fc.assert(
      fc.property(fc.array(unitAct, { minLength: 1, maxLength: 30, size: "max" }), (acts) => {
        const client = new Watched();
        start(client);
        for (const one of acts) {
          const before = client.adapter.counters.messages;
          one(client);
          // Data may land on the ring itself; only the count of answers is looked at.
          expect(client.adapter.crq.posted + client.adapter.crq.waitingCount).toBe(client.adapter.counters.messages);
          expect(client.adapter.counters.messages - before).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 60 },
    );
  });
});
