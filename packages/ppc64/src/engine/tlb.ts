// The soft TLBs: direct-mapped tables of 4 KiB pages that the interpreter looks into without leaving Wasm. Real-mode
// tables never need invalidation. A whole flush is one memory.fill with a byte that makes every tag odd, so invalid.

import type { InterpreterExports } from "./interpreter.ts";
import {
  CODE_CONTEXTS,
  CODE_TLB,
  CODE_TLB_ENTRIES,
  CODE_TLBS,
  codeTlb,
  DATA_CONTEXTS,
  DATA_TLB,
  DATA_TLBS,
  dataTlb,
  GATHER_TAG,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  WRITE_TLB,
} from "./layout.ts";
import type { CpuState } from "./state.ts";

const INVALID = 1;

export class SoftTlb {
  private readonly state: CpuState;
  private readonly wasm: Pick<InterpreterExports, "fill">;

  constructor(state: CpuState, wasm: Pick<InterpreterExports, "fill">) {
    this.state = state;
    this.wasm = wasm;
    this.forget();
  }

  /** Enter the page of an effective address for the current data context. `host` is the Wasm address of that byte. */
  enterData(eaLo: number, eaHi: number, host: number, write: boolean): void {
    const table = this.state.i32[DATA_TLB >> 2]! + (write ? WRITE_TLB : 0);
    this.enter(table + ((eaLo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES, eaLo, eaHi, (host - eaLo) | 0);
  }

  /** Enter a page whose stores are gathered: its guest real address. Accesses go on missing. */
  enterGathering(eaLo: number, eaHi: number, realLo: number, realHi: number): void {
    const table = this.state.i32[DATA_TLB >> 2]! + WRITE_TLB;
    const at = (table + ((eaLo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES) >> 2;
    const { u32 } = this.state;
    u32[at] = (eaLo & 0xfffff000) | GATHER_TAG;
    u32[at + 1] = eaHi;
    u32[at + 2] = realLo & 0xfffff000;
    u32[at + 3] = realHi;
  }

  /** Enter a page of code for the current code context: `records` is where its decoded records start. */
  enterCode(eaLo: number, eaHi: number, records: number): void {
    const table = this.state.i32[CODE_TLB >> 2]!;
    this.enter(table + ((eaLo >>> 12) & (CODE_TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES, eaLo, eaHi, records);
  }

  /** Where the records of the page at a code address start, 0 when the current code context does not have it. */
  recordsOf(pcLo: number, pcHi: number): number {
    const { u32, i32 } = this.state;
    const at = i32[CODE_TLB >> 2]! + ((pcLo >>> 12) & (CODE_TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
    const found = u32[at >> 2] === (pcLo & 0xfffff000) >>> 0 && u32[(at >> 2) + 1] === pcHi;
    return found ? u32[(at >> 2) + 2]! : 0;
  }

  private enter(at: number, eaLo: number, eaHi: number, value: number): void {
    const { u32, i32 } = this.state;
    u32[at >> 2] = eaLo & 0xfffff000;
    u32[(at >> 2) + 1] = eaHi;
    i32[(at >> 2) + 2] = value;
  }

  flushCode(): void {
    this.wasm.fill(CODE_TLBS, INVALID, codeTlb(CODE_CONTEXTS) - CODE_TLBS);
  }

  /** Everything that went through a page table, data and code. */
  flushAll(): void {
    const translated = dataTlb(1);
    this.wasm.fill(translated, INVALID, CODE_TLBS - translated);
    this.flushCode();
  }

  /** Everything, real mode too: where memory lies has changed. */
  forget(): void {
    this.wasm.fill(DATA_TLBS, INVALID, CODE_TLBS - DATA_TLBS);
    this.flushCode();
  }

  /** One page of 2^log2 bytes, in every translated context. */
  flushPage(eaLo: number, log2: number): void {
    if (log2 > 16) {
      this.flushAll();
      return;
    }
    const first = eaLo >>> 12;
    const { u32 } = this.state;
    for (let page = first; page < first + 2 ** (log2 - 12); page++) {
      const data = (page & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
      for (let context = 1; context < DATA_CONTEXTS; context++) {
        u32[(dataTlb(context) + data) >> 2] = INVALID;
        u32[(dataTlb(context) + WRITE_TLB + data) >> 2] = INVALID;
      }
      const code = (page & (CODE_TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
      for (let context = 1; context < CODE_CONTEXTS; context++) u32[(codeTlb(context) + code) >> 2] = INVALID;
    }
  }
}
