// CPU state as TypeScript sees it: typed arrays over the shared memory, 64-bit values as two u32 halves.
// Nothing here allocates; the arrays are made once, because the memory never grows.

import type { WasmMemory } from "../wasm/runtime.ts";
import { MSR_DR, MSR_IR, MSR_LE, MSR_PR, MSR_SF_HI, SPR_AMR } from "./bits.ts";
import { CODE_TLB, CR, codeTlb, DATA_TLB, dataTlb, MSR, PC, RESERVATION, SPR } from "./layout.ts";

/** Code context that is never filled: modes that are not modelled end up in fetch(), which says so. */
export const CODE_CONTEXT_NONE = 3;

export class CpuState {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly gpr64: BigUint64Array;

  constructor(memory: WasmMemory) {
    this.u8 = new Uint8Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.gpr64 = new BigUint64Array(memory.buffer, 0, 32);
  }

  get pcLo(): number {
    return this.u32[PC >> 2]!;
  }

  get pcHi(): number {
    return this.u32[(PC >> 2) + 1]!;
  }

  setPc(lo: number, hi: number): void {
    this.u32[PC >> 2] = lo;
    this.u32[(PC >> 2) + 1] = hi;
  }

  get msrLo(): number {
    return this.u32[MSR >> 2]!;
  }

  get msrHi(): number {
    return this.u32[(MSR >> 2) + 1]!;
  }

  get problemState(): boolean {
    return (this.msrLo & MSR_PR) !== 0;
  }

  /** 64-bit little-endian mode: the only one there is. */
  get modelled(): boolean {
    return (this.msrLo & MSR_LE) !== 0 && (this.msrHi & MSR_SF_HI) !== 0;
  }

  /** Also switches the TLBs that the interpreter looks at. */
  setMsr(lo: number, hi: number): void {
    this.u32[MSR >> 2] = lo;
    this.u32[(MSR >> 2) + 1] = hi;
    this.selectContext();
  }

  /** Called when MSR or the access rights in AMR changed. */
  selectContext(): void {
    const lo = this.msrLo;
    const amrKey0 = this.sprHi(SPR_AMR) >>> 30;
    const data = (lo & MSR_DR) === 0 ? 0 : (lo & MSR_PR) !== 0 ? 1 : 2 + amrKey0;
    const code = !this.modelled ? CODE_CONTEXT_NONE : (lo & MSR_IR) === 0 ? 0 : (lo & MSR_PR) !== 0 ? 2 : 1;
    this.i32[DATA_TLB >> 2] = dataTlb(data);
    this.i32[CODE_TLB >> 2] = codeTlb(code);
  }

  sprLo(n: number): number {
    return this.u32[(SPR >> 2) + 2 * n]!;
  }

  sprHi(n: number): number {
    return this.u32[(SPR >> 2) + 2 * n + 1]!;
  }

  setSpr(n: number, lo: number, hi: number): void {
    this.u32[(SPR >> 2) + 2 * n] = lo;
    this.u32[(SPR >> 2) + 2 * n + 1] = hi;
  }

  gprLo(n: number): number {
    return this.u32[2 * n]!;
  }

  gprHi(n: number): number {
    return this.u32[2 * n + 1]!;
  }

  setGpr(n: number, lo: number, hi: number): void {
    this.u32[2 * n] = lo;
    this.u32[2 * n + 1] = hi;
  }

  get cr(): number {
    let word = 0;
    for (let field = 0; field < 8; field++) word = (word << 4) | this.u8[CR + field]!;
    return word >>> 0;
  }

  set cr(word: number) {
    for (let field = 0; field < 8; field++) this.u8[CR + field] = (word >>> (28 - 4 * field)) & 15;
  }

  clearReservation(): void {
    this.u32[RESERVATION >> 2] = 0;
  }
}
