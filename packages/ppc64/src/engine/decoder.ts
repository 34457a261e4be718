// From instruction words to records, and the pool of decoded pages. A page is decoded lazily, one instruction when it is
// first reached, always from the copy that was taken when the page was entered. When the code TLB is refilled the copy
// is compared with guest memory and the page starts afresh if it differs; no store has to be watched for that.
// Software announces changed code with icbi, which empties the code TLB (Power ISA 3.0B Book II 1.8).

import { AA_BIT, findEncoding, LK_BIT, OE_BIT, RC_BIT } from "../isa/encodings.ts";
import type { InterpreterExports } from "./interpreter.ts";
import {
  DECODED_PAGE_BYTES,
  DECODED_PAGES,
  PAGE_INSTRUCTIONS,
  RECORD_BYTES,
  RECORD_SHIFT,
  SNAPSHOT,
} from "./layout.ts";
import type { CpuState } from "./state.ts";
import type { Handler, InstructionTable, RecordFields } from "./table.ts";

const PAGE_END_HANDLER = 1;

export class Decoder {
  /** Pages that were taken into the pool, instructions decoded, and pages found changed. */
  readonly counters = { pages: 0, instructions: 0, changed: 0, poolResets: 0 };
  private readonly state: CpuState;
  private readonly wasm: InterpreterExports;
  private readonly table: InstructionTable;
  private readonly poolPages: number;
  /** By guest real page: slot in the pool + 1. Pages of other memory, whose numbers may be large, have a map. */
  private readonly slotOf: Int32Array;
  private readonly slotElsewhere = new Map<number, number>();
  private readonly indexOf = new Map<Handler, number>();
  private readonly system: number;
  private readonly record: RecordFields = { a: 0, b: 0, c: 0, immLo: 0, immHi: 0 };
  private used = 0;
  private readonly flushCode: () => void;

  constructor(options: {
    state: CpuState;
    wasm: InterpreterExports;
    table: InstructionTable;
    ramBytes: number;
    poolPages: number;
    flushCode: () => void;
  }) {
    this.state = options.state;
    this.wasm = options.wasm;
    this.table = options.table;
    this.poolPages = options.poolPages;
    this.flushCode = options.flushCode;
    this.slotOf = new Int32Array(Math.ceil(options.ramBytes / 4096));
    for (const [index, handler] of options.table.handlers.entries()) this.indexOf.set(handler, index);
    this.system = options.table.handlers.findIndex((handler) => handler.name === "system");
  }

  /** Records of a guest real page, valid for what it holds now; `source` is where its bytes are. */
  page(realPage: number, source: number): number {
    let slot = (this.slotOf[realPage] ?? this.slotElsewhere.get(realPage) ?? 0) - 1;
    if (slot < 0) {
      slot = this.take(realPage);
    } else {
      const records = DECODED_PAGES + slot * DECODED_PAGE_BYTES;
      if (this.wasm.same(records + SNAPSHOT, source, 4096) !== 0) return records;
      this.counters.changed++;
    }
    const records = DECODED_PAGES + slot * DECODED_PAGE_BYTES;
    this.wasm.fill(records, 0, SNAPSHOT);
    this.wasm.copy(records + SNAPSHOT, source, 4096);
    this.state.u16[(records + PAGE_INSTRUCTIONS * RECORD_BYTES) >> 1] = PAGE_END_HANDLER;
    return records;
  }

  private take(realPage: number): number {
    if (this.used === this.poolPages) {
      this.slotOf.fill(0);
      this.slotElsewhere.clear();
      this.used = 0;
      this.counters.poolResets++;
      this.flushCode();
    }
    this.counters.pages++;
    if (realPage < this.slotOf.length) this.slotOf[realPage] = this.used + 1;
    else this.slotElsewhere.set(realPage, this.used + 1);
    return this.used++;
  }

  /** The instruction word that a record stands for. */
  wordAt(ip: number): number {
    const slot = Math.floor((ip - DECODED_PAGES) / DECODED_PAGE_BYTES);
    const records = DECODED_PAGES + slot * DECODED_PAGE_BYTES;
    return this.state.u32[((records + SNAPSHOT) >> 2) + ((ip - records) >> RECORD_SHIFT)]!;
  }

  decode(ip: number): void {
    const slot = Math.floor((ip - DECODED_PAGES) / DECODED_PAGE_BYTES);
    const records = DECODED_PAGES + slot * DECODED_PAGE_BYTES;
    const number = (ip - records) >> RECORD_SHIFT;
    const word = this.state.u32[((records + SNAPSHOT) >> 2) + number]!;
    const { record } = this;
    record.a = record.b = record.c = record.immLo = record.immHi = 0;
    const handler = this.handlerOf(word, 4 * number);
    const at = ip >> 1;
    const { u16, i32 } = this.state;
    u16[at + 1] = record.a;
    u16[at + 2] = record.b;
    u16[at + 3] = record.c;
    i32[(ip >> 2) + 2] = record.immLo;
    i32[(ip >> 2) + 3] = record.immHi;
    u16[at] = handler;
    this.counters.instructions++;
  }

  private handlerOf(word: number, offset: number): number {
    const row = findEncoding(word);
    if (row === undefined || row.unit !== "fx") return this.system;
    let mnemonic = row.name;
    if (row.oe && word & OE_BIT) mnemonic += "o";
    if (row.rc && word & RC_BIT) mnemonic += ".";
    if (row.lk && word & LK_BIT) mnemonic += "l";
    if (row.aa && word & AA_BIT) mnemonic += "a";
    const handler = this.table.decoders.get(mnemonic)?.(word, this.record, offset);
    return handler === undefined ? this.system : this.indexOf.get(handler)!;
  }
}
