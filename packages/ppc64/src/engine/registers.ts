// Registers by name, for the machine around the CPU: BigInt and number accessors for setup and debugging, halves for
// hypercalls. Nothing here is used while instructions run.

import { SPR_CTR, SPR_LR } from "./bits.ts";
import { XER_CA, XER_CA32, XER_COUNT, XER_OV, XER_OV32, XER_SO } from "./layout.ts";
import { sprHome } from "./sprs.ts";
import type { CpuState } from "./state.ts";

/** Bit position (from the least significant) and home of each XER bit. */
const XER_BITS = [
  [31, XER_SO],
  [30, XER_OV],
  [29, XER_CA],
  [19, XER_OV32],
  [18, XER_CA32],
] as const;

const join = (lo: number, hi: number): bigint => (BigInt(hi) << 32n) | BigInt(lo);
const lowOf = (value: bigint): number => Number(value & 0xffffffffn);
const highOf = (value: bigint): number => Number((value >> 32n) & 0xffffffffn);

export abstract class Registers {
  /** GPR n is gpr64[n]; its halves are gpr32[2n] (low) and gpr32[2n + 1] (high). */
  readonly gpr32: Uint32Array;
  readonly gpr64: BigUint64Array;
  protected readonly state: CpuState;

  protected constructor(state: CpuState) {
    this.state = state;
    this.gpr64 = state.gpr64;
    this.gpr32 = new Uint32Array(state.gpr64.buffer, 0, 64);
  }

  /** GPR n as a number: exact below 2^53, rounded above. */
  gpr(n: number): number {
    return this.gprHi(n) * 2 ** 32 + this.gprLo(n);
  }

  gprLo(n: number): number {
    return this.gpr32[2 * n]!;
  }

  gprHi(n: number): number {
    return this.gpr32[2 * n + 1]!;
  }

  setGpr(n: number, hi: number, lo: number): void {
    this.gpr32[2 * n] = lo;
    this.gpr32[2 * n + 1] = hi;
  }

  get pc(): bigint {
    return join(this.state.pcLo, this.state.pcHi);
  }

  set pc(value: bigint) {
    this.state.setPc(lowOf(value) & ~3, highOf(value));
  }

  get msr(): bigint {
    return join(this.state.msrLo, this.state.msrHi);
  }

  set msr(value: bigint) {
    this.state.setMsr(lowOf(value), highOf(value));
  }

  get lr(): bigint {
    return this.storedSpr(SPR_LR);
  }

  set lr(value: bigint) {
    this.storeSpr(SPR_LR, value);
  }

  get ctr(): bigint {
    return this.storedSpr(SPR_CTR);
  }

  set ctr(value: bigint) {
    this.storeSpr(SPR_CTR, value);
  }

  /** The 32 bits of the condition register, CR0 in the most significant four. */
  get cr(): number {
    return this.state.cr;
  }

  set cr(value: number) {
    this.state.cr = value;
  }

  /** The low 32 bits of XER; the others do not exist. */
  get xer(): number {
    let word = this.state.u8[XER_COUNT]!;
    for (const [bit, home] of XER_BITS) word |= this.state.u8[home]! << bit;
    return word >>> 0;
  }

  set xer(value: number) {
    for (const [bit, home] of XER_BITS) this.state.u8[home] = (value >>> bit) & 1;
    this.state.u8[XER_COUNT] = value & 0x7f;
  }

  protected storedSpr(n: number): bigint {
    const home = sprHome(n);
    return join(this.state.sprLo(home), this.state.sprHi(home));
  }

  protected storeSpr(n: number, value: bigint): void {
    this.state.setSpr(sprHome(n), lowOf(value), highOf(value));
  }
}
