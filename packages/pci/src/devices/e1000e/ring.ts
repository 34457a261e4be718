// A descriptor ring of the 82574L (datasheet sections 7.1.5 and 7.2.4): 16-byte descriptors in memory, the hardware's from
// head to tail. What the registers say is not trusted: a head or tail beyond the ring makes it empty. Whether requests say No
// Snoop is said for each kind of them in GCR (section 10.2.2).
import type { DmaPort } from "../../ports.ts";

export const DESCRIPTOR_SIZE = 16;

/** What rings need of the controller around them. */
export interface RingHost {
  readonly dma: DmaPort;
  get(offset: number): number;
  set(offset: number, value: number): void;
  raise(causes: number): void;
  /** Attributes of requests of a kind: a bit of GCR. */
  attributes(kind: number): number;
  /** MSI-X is on, so that queues have causes of their own. */
  readonly perQueue: boolean;
}

/** Registers of one ring: base low, base high, length, head and tail; and the bits of GCR for its descriptors. */
export interface RingRegisters {
  readonly readNoSnoop: number;
  readonly writeNoSnoop: number;
  readonly low: number;
  readonly high: number;
  readonly length: number;
  readonly head: number;
  readonly tail: number;
}

export class Ring {
  readonly #host: RingHost;
  readonly #registers: RingRegisters;
  readonly words = new Uint32Array(DESCRIPTOR_SIZE / 4);
  readonly #bytes = new Uint8Array(this.words.buffer);

  constructor(host: RingHost, registers: RingRegisters) {
    this.#host = host;
    this.#registers = registers;
  }

  get entries(): number {
    return this.#host.get(this.#registers.length) / DESCRIPTOR_SIZE;
  }

  /** Descriptors that are the hardware's. */
  get ready(): boolean {
    const head = this.#host.get(this.#registers.head);
    const tail = this.#host.get(this.#registers.tail);
    return head !== tail && head < this.entries && tail <= this.entries;
  }

  /** Read the descriptor at the head into `words`. */
  fetch(): boolean {
    const [hi, lo] = this.#address();
    return this.#host.dma.read(hi, lo, this.#bytes, this.#host.attributes(this.#registers.readNoSnoop));
  }

  /** Write `words` back and move the head on. */
  complete(writeBack: boolean): boolean {
    const [hi, lo] = this.#address();
    const attributes = this.#host.attributes(this.#registers.writeNoSnoop);
    if (writeBack && !this.#host.dma.write(hi, lo, this.#bytes, attributes)) return false;
    const next = this.#host.get(this.#registers.head) + 1;
    this.#host.set(this.#registers.head, next >= this.entries ? 0 : next);
    return true;
  }

  #address(): [hi: number, lo: number] {
    const low = this.#host.get(this.#registers.low) + this.#host.get(this.#registers.head) * DESCRIPTOR_SIZE;
    const carry = low > 0xffff_ffff ? 1 : 0;
    return [(this.#host.get(this.#registers.high) + carry) >>> 0, low >>> 0];
  }
}
