// The argument buffer of an RTAS call in guest RAM: big-endian words token, nargs, nret, arguments, results; the first
// result is the status. Source: PAPR 2.7 section 7.2.7.
// Invariant: a frame that does not lie wholly in RAM, or counts more than 16 words, is not opened; results beyond nret
// are dropped, arguments beyond nargs read as 0.
import type { GuestMemory } from "@minivmm/host";

const HEADER_BYTES = 12;
const WORDS_MAX = 16;

export class RtasFrame {
  token = 0;
  nargs = 0;
  nret = 0;
  private readonly ram: GuestMemory;
  private argsAt = 0;
  private retsAt = 0;

  constructor(ram: GuestMemory) {
    this.ram = ram;
  }

  /** Points this object at a frame. False: the address holds none. */
  open(address: number): boolean {
    if (address < 0 || !this.ram.contains(address, HEADER_BYTES)) return false;
    this.token = this.ram.u32be(address);
    this.nargs = this.ram.u32be(address + 4);
    this.nret = this.ram.u32be(address + 8);
    if (this.nargs > WORDS_MAX || this.nret > WORDS_MAX) return false;
    this.argsAt = address + HEADER_BYTES;
    this.retsAt = this.argsAt + this.nargs * 4;
    return this.ram.contains(this.argsAt, (this.nargs + this.nret) * 4);
  }

  arg(index: number): number {
    return index < this.nargs ? this.ram.u32be(this.argsAt + index * 4) : 0;
  }

  /** Result `index`; 0 is the status. Stored as an unsigned word. */
  setRet(index: number, value: number): void {
    if (index < this.nret) this.ram.setU32be(this.retsAt + index * 4, value >>> 0);
  }
}
