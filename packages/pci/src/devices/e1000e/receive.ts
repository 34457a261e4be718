// Reception by the 82574L (datasheet section 7.1): the address filter, then buffers of the first receive queue, with
// legacy or extended write-back. Frames arrive without their checksum; where software wants one, four zero bytes stand
// for it.
// Invariant: a frame is stored whole or not at all, but for one that meets refused memory on its way.
import { CAUSE_RXO, CAUSE_RXQ0, CAUSE_RXT0 } from "./interrupts.ts";
import * as regs from "./registers.ts";
import { Ring, type RingHost } from "./ring.ts";

const STATUS_DONE = 0x01;
const STATUS_END = 0x02;
const CHECKSUM_SIZE = 4;
const MIN_FRAME = 60;
const MAX_FRAME = 1522;
const RCTL_LPE = 0x20;
const MULTICAST = 1;
const FILTERS = 16;
const MTA_SHIFTS = [4, 3, 2, 0] as const;

export class Receiver {
  readonly #host: RingHost;
  readonly #ring: Ring;

  constructor(host: RingHost) {
    this.#host = host;
    this.#ring = new Ring(host, {
      low: regs.RDBAL,
      high: regs.RDBAH,
      length: regs.RDLEN,
      head: regs.RDH,
      tail: regs.RDT,
      readNoSnoop: regs.GCR_RXDSCR_NO_SNOOP,
      writeNoSnoop: regs.GCR_RXDSCW_NO_SNOOP,
    });
  }

  /** A frame from the wire. False: it was not for this controller, or could not be taken. */
  receive(frame: Uint8Array): boolean {
    const control = this.#host.get(regs.RCTL);
    if (!(control & regs.RCTL_EN) || !this.#wanted(frame, control)) return false;
    if (frame.length > MAX_FRAME - CHECKSUM_SIZE && !(control & RCTL_LPE)) return false;
    const extra = control & regs.RCTL_SECRC ? 0 : CHECKSUM_SIZE;
    const whole = new Uint8Array(Math.max(MIN_FRAME, frame.length) + extra);
    whole.set(frame);
    if (!this.#hasRoom(whole.length, bufferSize(control))) {
      this.#host.raise(CAUSE_RXO);
      return false;
    }
    const stored = this.#store(whole, bufferSize(control));
    // Octets count from the address to the checksum, whether that is stored or not.
    this.#count(whole.length - extra + CHECKSUM_SIZE);
    this.#host.raise(this.#host.perQueue ? CAUSE_RXQ0 : CAUSE_RXT0);
    return stored;
  }

  #hasRoom(length: number, size: number): boolean {
    const { entries } = this.#ring;
    const head = this.#host.get(regs.RDH);
    const tail = this.#host.get(regs.RDT);
    if (entries === 0 || head >= entries || tail > entries) return false;
    const free = (tail - head + entries) % entries;
    return free * size >= length;
  }

  #store(frame: Uint8Array, size: number): boolean {
    const ring = this.#ring;
    const extended = (this.#host.get(regs.RFCTL) & regs.RFCTL_EXTEN) !== 0;
    for (let at = 0; at < frame.length; at += size) {
      if (!ring.fetch()) return false;
      const part = frame.subarray(at, Math.min(at + size, frame.length));
      // A null address is a descriptor that software took back: it is passed over with its length.
      const { words } = ring;
      const attributes = this.#host.attributes(regs.GCR_RXD_NO_SNOOP);
      if ((words[0]! | words[1]!) !== 0 && !this.#host.dma.write(words[1]!, words[0]!, part, attributes)) return false;
      const status = STATUS_DONE | (at + size >= frame.length ? STATUS_END : 0);
      if (extended) words.set([0, 0, status, part.length]);
      else {
        words[2] = part.length;
        words[3] = status;
      }
      if (!ring.complete(true)) return false;
    }
    return true;
  }

  #wanted(frame: Uint8Array, control: number): boolean {
    if (frame.length < 14) return false;
    const multicast = (frame[0]! & MULTICAST) !== 0;
    if (multicast && frame.subarray(0, 6).every((byte) => byte === 0xff) && control & regs.RCTL_BAM) return true;
    if (control & (multicast ? regs.RCTL_MPE : regs.RCTL_UPE)) return true;
    const low = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0;
    const high = frame[4]! | (frame[5]! << 8);
    for (let n = 0; n < FILTERS; n++) {
      const filter = this.#host.get(regs.RAH + n * 8);
      const matches = this.#host.get(regs.RAL + n * 8) === low && (filter & 0xffff) === high;
      if (filter & regs.RAH_VALID && matches) return true;
    }
    return multicast && this.#hashed(frame, control);
  }

  /** Twelve bits of the address, where RCTL says, choose a bit of the table. */
  #hashed(frame: Uint8Array, control: number): boolean {
    const shift = MTA_SHIFTS[(control >> 12) & 3]!;
    const index = ((frame[4]! | (frame[5]! << 8)) >> shift) & 0xfff;
    return ((this.#host.get(regs.MTA + (index >> 5) * 4) >>> (index & 31)) & 1) !== 0;
  }

  #count(length: number): void {
    const host = this.#host;
    for (const counter of [regs.GPRC, regs.TPR]) host.set(counter, Math.min(0xffff_ffff, host.get(counter) + 1));
    const octets = host.get(regs.GORCL) + length;
    host.set(regs.GORCL, octets >>> 0);
    if (octets > 0xffff_ffff) host.set(regs.GORCL + 4, (host.get(regs.GORCL + 4) + 1) >>> 0);
  }
}

/** BSIZE and BSEX of RCTL. */
function bufferSize(control: number): number {
  const size = 2048 >> ((control >> 16) & 3);
  return control & regs.RCTL_BSEX ? Math.min(16_384, size * 16) : size;
}
