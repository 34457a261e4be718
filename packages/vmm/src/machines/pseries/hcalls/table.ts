// The hypercall dispatcher: token -> handler, with a count per call.
// Registers: handlers read and write the CPU's general registers directly, as 32-bit halves ([2n] low, [2n+1] high of
// register n): r3 holds the token on entry and the return code on exit, r4.. the arguments, r4.. the results.
// Invariant: every call returns a defined code; a token without a handler gives H_FUNCTION; no handler throws.
import { H_FUNCTION } from "@minivmm/kvm";

/** General registers as halves, 64 words. */
export type Registers = Uint32Array;

/** Returns the code for r3; writes results to r4 and up itself. */
export type HcallHandler = (registers: Registers) => number;

interface Entry {
  readonly name: string;
  readonly handler: HcallHandler;
  count: number;
}

export class HcallTable {
  unknown = 0;
  private readonly entries = new Map<number, Entry>();

  register(token: number, name: string, handler: HcallHandler): void {
    this.entries.set(token, { name, handler, count: 0 });
  }

  has(token: number): boolean {
    return this.entries.has(token);
  }

  /** PAPR's name of a call; its number for one that is not registered. */
  nameOf(token: number): string {
    return this.entries.get(token)?.name ?? `0x${token.toString(16)}`;
  }

  /** Runs the call that r3 names and puts its code there. Returns the code. */
  dispatch(registers: Registers): number {
    // A token above 32 bits is not one that exists.
    const entry = registers[7] === 0 ? this.entries.get(registers[6]!) : undefined;
    let code = H_FUNCTION;
    if (entry === undefined) {
      this.unknown++;
    } else {
      entry.count++;
      code = entry.handler(registers);
    }
    registers[6] = code;
    registers[7] = code < 0 ? 0xffffffff : 0;
    return code;
  }

  /** Calls so far by name; those never made are left out. */
  counts(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const { name, count } of this.entries.values()) if (count > 0) out[name] = count;
    if (this.unknown > 0) out["(unknown)"] = this.unknown;
    return out;
  }
}

/** Low half of register n. */
export function lo(registers: Registers, n: number): number {
  return registers[n * 2]!;
}

export function hi(registers: Registers, n: number): number {
  return registers[n * 2 + 1]!;
}

/** Register n as a number, -1 when it does not fit (>= 2^53): no address, size or index of the machine is that large. */
export function small(registers: Registers, n: number): number {
  const high = registers[n * 2 + 1]!;
  return high < 0x20_0000 ? high * 0x1_0000_0000 + registers[n * 2]! : -1;
}

export function put(registers: Registers, n: number, high: number, low: number): void {
  registers[n * 2] = low;
  registers[n * 2 + 1] = high;
}
