// A client of the virtual SCSI adapter for tests: a machine with one adapter, bus pages mapped one to one, a queue that is
// read as a driver reads it, and information units and commands put together by hand.

import * as H from "@minivmm/kvm";
import { memoryDisk } from "@minivmm/pci/devices";
import type { VscsiAdapter } from "../src/machines/pseries/vio/vscsi/adapter.ts";
import { plugVscsi, type VscsiConfig } from "../src/machines/pseries/vio/vscsi/config.ts";
import { type Bench, bench, RAM_BYTES } from "./fakes.ts";

export const UNIT = 0x7100_0003;
/** Bus addresses, which are RAM addresses too. */
export const QUEUE = 0x1_0000;
export const QUEUE_BYTES = 0x1000;
export const IU = 0x2_0000;
export const DATA = 0x4_0000;
export const DATA_BYTES = 0x2_0000;
export const DISK_BYTES = 0x10_0000;

export interface Answer {
  readonly crqStatus: number;
  readonly tag: bigint;
  /** SCSI status. */
  readonly status: number;
  /** As in sense.ts, 0 without sense data. */
  readonly sense: number;
  readonly flags: number;
  readonly inResidual: number;
  readonly outResidual: number;
  /** Response code, -1 without response data. */
  readonly response: number;
}

export interface Descriptor {
  readonly address: number;
  readonly length: number;
}

export interface CommandOptions {
  readonly cdb: readonly number[];
  readonly out?: readonly Descriptor[];
  readonly in?: readonly Descriptor[];
  /** Eight bytes; default the logical unit addressing form of 0:0:0. */
  readonly lun?: readonly number[];
  /** Descriptors that stand in the unit; more are in a table behind it. Default 10, as Linux. */
  readonly inline?: number;
  readonly length?: number;
}

/** No two blocks alike. */
const CONTENTS = Uint8Array.from({ length: DISK_BYTES }, (_, i) => (i * 7 + (i >> 9)) & 0xff);
const LUN_0 = [0x80, 0, 0, 0, 0, 0, 0, 0];
const TAG = 0x1122_3344_5566_7788n;

export class VscsiClient {
  readonly bench: Bench = bench();
  readonly disk: Uint8Array;
  readonly adapter: VscsiAdapter;
  private next = 0;

  constructor(config: Partial<VscsiConfig> = {}) {
    this.disk = CONTENTS.slice();
    const { machine, ram } = this.bench;
    const platform = { ram, tables: machine.tables, xics: machine.xics };
    this.adapter = plugVscsi(machine.vio, platform, "scsi", {
      driver: "spapr-vscsi",
      reg: UNIT,
      disks: [{ disk: memoryDisk(this.disk) }],
      ...config,
    });
  }

  /** Maps a page of RAM at the same bus address; permissions 1 device reads, 2 device writes. */
  map(page: number, permissions = 3): void {
    this.bench.hcall(H.H_PUT_TCE, UNIT, page, page + permissions);
  }

  mapRange(from: number, bytes: number): void {
    for (let page = from; page < from + bytes; page += 0x1000) this.map(page);
  }

  /** Everything that a driver does before its first command. */
  open(): this {
    this.mapRange(QUEUE, QUEUE_BYTES);
    this.mapRange(IU, 0x2000);
    this.mapRange(DATA, DATA_BYTES);
    this.bench.hcall(H.H_REG_CRQ, UNIT, QUEUE, QUEUE_BYTES);
    this.bench.hcall(H.H_VIO_SIGNAL, UNIT, 1);
    this.sendCrq([0xc0010000, 0], [0, 0]);
    if (this.takeCrq()?.[0] !== 0xc0) throw new Error("no answer to the initialisation message");
    // The first command is told of the power-on.
    if (this.command({ cdb: [0] }).sense !== 0x062900) throw new Error("no unit attention");
    return this;
  }

  sendCrq(high: readonly [number, number], low: readonly [number, number]): number {
    return this.bench.hcall(H.H_SEND_CRQ, UNIT, high, low);
  }

  /** The next message of the ring, which becomes free. */
  takeCrq(): Uint8Array | undefined {
    const { ram } = this.bench;
    const at = QUEUE + this.next;
    const element = ram.u8.slice(at, at + 16);
    if (element[0] === 0) return undefined;
    ram.u8[at] = 0;
    this.next = (this.next + 16) % QUEUE_BYTES;
    return element;
  }

  /** Sends a unit that is in place. Returns the code of the call. */
  send(length: number, format = 1, at = IU): number {
    return this.sendCrq([0x80000000 | (format << 16), length], [0, at]);
  }

  /** Puts a unit in place, sends it, and reads the answer. */
  exchange(unit: Uint8Array, length = unit.length): Answer {
    this.bench.ram.writeBytes(IU, unit);
    const code = this.send(length);
    if (code !== H.H_SUCCESS) throw new Error(`H_SEND_CRQ: ${code}`);
    return this.answer();
  }

  command(options: CommandOptions): Answer {
    const unit = this.commandUnit(options);
    return this.exchange(unit, options.length ?? unit.length);
  }

  commandUnit({ cdb, out = [], in: into = [], lun = LUN_0, inline = 10 }: CommandOptions): Uint8Array {
    const unit = new Uint8Array(256);
    const view = new DataView(unit.buffer);
    unit[0] = 0x02;
    unit[5] = (formatOf(out) << 4) | formatOf(into);
    view.setBigUint64(8, TAG);
    unit.set(lun, 20);
    unit.set(cdb, 32);
    let at = 48;
    for (const [list, countAt] of [
      [out, 6],
      [into, 7],
    ] as const) {
      if (list.length > 1) {
        const table = IU + 0x1000;
        const count = Math.min(inline, list.length);
        unit[countAt] = count;
        list.forEach((each, i) => {
          putDescriptor(new DataView(this.bench.ram.u8.buffer, this.bench.ram.u8.byteOffset), table + i * 16, each);
        });
        putDescriptor(view, at, { address: table, length: list.length * 16 });
        list.slice(0, count).forEach((each, i) => {
          putDescriptor(view, at + 20 + i * 16, each);
        });
        at += 20 + count * 16;
      } else if (list.length === 1) {
        putDescriptor(view, at, list[0]!);
        at += 16;
      }
    }
    return unit;
  }

  /** One data buffer at DATA. */
  read(cdb: readonly number[], bytes: number, lun?: readonly number[]): Answer & { data: Uint8Array } {
    this.bench.ram.u8.fill(0xee, DATA, DATA + bytes);
    const answer = this.command({ cdb, in: [{ address: DATA, length: bytes }], ...(lun === undefined ? {} : { lun }) });
    return { ...answer, data: this.bench.ram.u8.slice(DATA, DATA + bytes) };
  }

  answer(): Answer {
    const element = this.takeCrq();
    if (element === undefined) throw new Error("no answer");
    const view = new DataView(element.buffer);
    const reply = this.bench.ram.u8.slice(IU, IU + 256);
    const rsp = new DataView(reply.buffer);
    const flags = reply[18]!;
    const sense = (flags & 2) !== 0 ? (reply[38]! << 16) | (reply[48]! << 8) | reply[49]! : 0;
    return {
      crqStatus: element[3]!,
      tag: view.getBigUint64(8),
      status: reply[19]!,
      sense,
      flags,
      outResidual: rsp.getUint32(20),
      inResidual: rsp.getUint32(24),
      response: (flags & 1) !== 0 ? rsp.getUint32(36) : -1,
    };
  }

  static readonly tag = TAG;
  static readonly ramBytes = RAM_BYTES;
}

function formatOf(list: readonly Descriptor[]): number {
  return Math.min(list.length, 2);
}

function putDescriptor(view: DataView, at: number, { address, length }: Descriptor): void {
  view.setUint32(at, Math.floor(address / 2 ** 32));
  view.setUint32(at + 4, address % 2 ** 32);
  view.setUint32(at + 8, 0);
  view.setUint32(at + 12, length);
}
