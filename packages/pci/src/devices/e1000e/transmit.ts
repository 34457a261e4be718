// Transmission by the 82574L (datasheet section 7.2): legacy and extended data descriptors are gathered into frames.
// Offloads are not done: context descriptors are taken note of by being skipped.
// Invariant: a run ends when the ring is empty, when memory is refused, or after as many descriptors as the ring has.
import { CAUSE_TXDW, CAUSE_TXQ0, CAUSE_TXQE } from "./interrupts.ts";
import * as regs from "./registers.ts";
import { Ring, type RingHost } from "./ring.ts";

const CMD_EOP = 0x0100_0000;
const CMD_RS = 0x0800_0000;
const CMD_DEXT = 0x2000_0000;
const TYPE_MASK = 0x00f0_0000;
const TYPE_CONTEXT = 0;
const LENGTH_LEGACY = 0xffff;
const LENGTH_EXTENDED = 0xf_ffff;
const STATUS_DONE = 1;
const MAX_FRAME = 16_384;
const MIN_FRAME = 60;

export class Transmitter {
  readonly #host: RingHost;
  readonly #rings: readonly Ring[];
  readonly #send: (frame: Uint8Array) => void;
  readonly #frame = new Uint8Array(MAX_FRAME);
  #length = 0;

  /** `send` gets a frame without its checksum, valid during the call. */
  constructor(host: RingHost, send: (frame: Uint8Array) => void) {
    this.#host = host;
    this.#send = send;
    this.#rings = Array.from({ length: regs.QUEUES }, (_, n) => {
      const at = n * regs.QUEUE_STRIDE;
      return new Ring(host, {
        low: regs.TDBAL + at,
        high: regs.TDBAH + at,
        length: regs.TDLEN + at,
        head: regs.TDH + at,
        tail: regs.TDT + at,
        readNoSnoop: regs.GCR_TXDSCR_NO_SNOOP,
        writeNoSnoop: regs.GCR_TXDSCW_NO_SNOOP,
      });
    });
  }

  reset(): void {
    this.#length = 0;
  }

  /** The tail of a queue moved, or transmission was enabled. */
  run(queue: number): void {
    const ring = this.#rings[queue];
    if (!ring || !(this.#host.get(regs.TCTL) & regs.TCTL_EN)) return;
    let causes = CAUSE_TXQE;
    for (let left = ring.entries; left > 0 && ring.ready; left--) {
      if (!ring.fetch() || !this.#take(ring.words)) break;
      const reports = (ring.words[2]! & CMD_RS) !== 0;
      if (reports) ring.words[3]! |= STATUS_DONE;
      if (!ring.complete(reports)) break;
      if (reports) causes |= this.#host.perQueue ? CAUSE_TXQ0 << queue : CAUSE_TXDW;
    }
    this.#host.raise(causes);
  }

  /** Add a descriptor's bytes to the frame, and send it with the last of them. False: memory was refused. */
  #take(words: Uint32Array): boolean {
    const command = words[2]!;
    const extended = (command & CMD_DEXT) !== 0;
    if (extended && (command & TYPE_MASK) === TYPE_CONTEXT) return true;
    const asked = command & (extended ? LENGTH_EXTENDED : LENGTH_LEGACY);
    const length = Math.min(asked, MAX_FRAME - this.#length);
    const part = this.#frame.subarray(this.#length, this.#length + length);
    const attributes = this.#host.attributes(regs.GCR_TXD_NO_SNOOP);
    if (length > 0 && !this.#host.dma.read(words[1]!, words[0]!, part, attributes)) {
      this.#length = 0;
      return false;
    }
    this.#length += length;
    if (command & CMD_EOP) this.#finish();
    return true;
  }

  #finish(): void {
    const pads = (this.#host.get(regs.TCTL) & regs.TCTL_PSP) !== 0;
    const length = pads && this.#length > 0 ? Math.max(MIN_FRAME, this.#length) : this.#length;
    this.#frame.fill(0, this.#length, length);
    this.#length = 0;
    if (length > 0) this.#send(this.#frame.subarray(0, length));
  }
}
