// One interrupter of an xHCI controller (xHCI 1.1 sections 4.9.4, 4.17 and 5.5.2): its management registers and its
// event ring, of which only the first segment of the table is used here, as the ring needs no more.
// Invariant: an event is written with the producer's cycle bit, which turns at the end of the segment; a full ring
// drops events.
import type { DmaPort } from "../../ports.ts";
import * as regs from "./xhci-registers.ts";

const TRB_SIZE = 16;
const SEGMENT_SIZE = 16;
const CYCLE = 1;

export class Interrupter {
  readonly #memory: DmaPort;
  #management = 0;
  #moderation = 0;
  #tableSize = 0;
  #tableLo = 0;
  #tableHi = 0;
  #dequeueLo = 0;
  #dequeueHi = 0;
  #baseLo = 0;
  #baseHi = 0;
  #entries = 0;
  #next = 0;
  #cycle = CYCLE;

  constructor(memory: DmaPort) {
    this.#memory = memory;
  }

  get asserted(): boolean {
    return this.#management === (regs.IMAN_PENDING | regs.IMAN_ENABLE);
  }

  reset(): void {
    this.#management = 0;
    this.#moderation = 0;
    this.#tableSize = 0;
    this.#tableLo = 0;
    this.#tableHi = 0;
    this.#dequeueLo = 0;
    this.#dequeueHi = 0;
    this.#entries = 0;
  }

  read(register: number): number {
    switch (register) {
      case regs.IMAN:
        return this.#management;
      case regs.IMOD:
        return this.#moderation;
      case regs.ERSTSZ:
        return this.#tableSize;
      case regs.ERSTBA:
        return this.#tableLo;
      case regs.ERSTBA + 4:
        return this.#tableHi;
      case regs.ERDP:
        return this.#dequeueLo;
      case regs.ERDP + 4:
        return this.#dequeueHi;
      default:
        return 0;
    }
  }

  write(register: number, value: number): void {
    switch (register) {
      case regs.IMAN:
        this.#management = (this.#management & regs.IMAN_PENDING & ~value) | (value & regs.IMAN_ENABLE);
        break;
      case regs.IMOD:
        this.#moderation = value;
        break;
      case regs.ERSTSZ:
        this.#tableSize = value & 0xffff;
        break;
      case regs.ERSTBA:
        this.#tableLo = (value & ~0xf) >>> 0;
        break;
      case regs.ERSTBA + 4:
        this.#tableHi = value;
        this.#readTable();
        break;
      case regs.ERDP:
        this.#dequeueLo = ((value & ~regs.ERDP_BUSY) | (this.#dequeueLo & ~value & regs.ERDP_BUSY)) >>> 0;
        break;
      case regs.ERDP + 4:
        this.#dequeueHi = value;
        break;
    }
  }

  /** Append an event. False: the ring cannot be written. */
  post(event: Uint32Array): boolean {
    if (this.#entries === 0) return true;
    const following = this.#next + 1 === this.#entries ? 0 : this.#next + 1;
    if (this.#addressOf(following) === (this.#dequeueLo & ~0xf) >>> 0) return true;
    event[3] = ((event[3]! & ~CYCLE) | this.#cycle) >>> 0;
    const bytes = new Uint8Array(event.buffer, event.byteOffset, TRB_SIZE);
    if (!this.#memory.write(this.#baseHi, this.#addressOf(this.#next), bytes)) return false;
    this.#next = following;
    if (following === 0) this.#cycle ^= CYCLE;
    return true;
  }

  /** An event is there. True: software wants to be told. */
  raise(): boolean {
    this.#management |= regs.IMAN_PENDING;
    this.#dequeueLo |= regs.ERDP_BUSY;
    return (this.#management & regs.IMAN_ENABLE) !== 0;
  }

  /** A message has been sent for what was pending. */
  taken(): void {
    this.#management &= ~regs.IMAN_PENDING;
  }

  #addressOf(index: number): number {
    return (this.#baseLo + index * TRB_SIZE) >>> 0;
  }

  #readTable(): void {
    const segment = new Uint32Array(SEGMENT_SIZE / 4);
    this.#next = 0;
    this.#cycle = CYCLE;
    this.#entries = 0;
    if (this.#tableSize === 0) return;
    if (!this.#memory.read(this.#tableHi, this.#tableLo, new Uint8Array(segment.buffer))) return;
    this.#baseLo = (segment[0]! & ~0x3f) >>> 0;
    this.#baseHi = segment[1]!;
    const size = segment[2]! & 0xffff;
    this.#entries = size >= 16 && size <= 4096 ? size : 0;
  }
}
