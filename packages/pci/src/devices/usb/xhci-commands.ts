// The command ring of an xHCI controller (xHCI 1.1 sections 4.6, 4.9.3 and 6.4.3): transfer request blocks in memory with
// a cycle bit, link blocks that lead on, and a completion event for each command.
// Slots can be enabled and disabled; commands that work on a device fail, for there is none.
// Invariant: one run fetches a bounded number of blocks, so a ring that leads into itself ends.
import type { DmaPort } from "../../ports.ts";
import * as regs from "./xhci-registers.ts";

const TRB_SIZE = 16;
const TRB_CYCLE = 1;
const LINK_TOGGLE = 2;
const TRB_LINK = 6;
const ENABLE_SLOT = 9;
const DISABLE_SLOT = 10;
const LAST_SLOT_COMMAND = 17;
const SET_LATENCY = 21;
const GET_PORT_BANDWIDTH = 22;
const NOOP = 23;
const NEC_FIRMWARE = 49;
const COMMAND_COMPLETION = 33;

const CC_SUCCESS = 1;
const CC_USB_TRANSACTION = 4;
const CC_TRB = 5;
const CC_NO_SLOTS = 9;
const CC_SLOT_NOT_ENABLED = 11;
const CC_RING_STOPPED = 24;
/** Version 3.0.21 of the controller's firmware, which drivers ask for. */
const FIRMWARE_VERSION = 0x3021;
const MAX_BLOCKS = 1024;

export class CommandRing {
  readonly #memory: DmaPort;
  readonly #post: (event: Uint32Array) => void;
  readonly #slots = new Set<number>();
  readonly #trb = new Uint32Array(TRB_SIZE / 4);
  #lo = 0;
  #hi = 0;
  #cycle = 0;
  running = false;

  constructor(memory: DmaPort, post: (event: Uint32Array) => void) {
    this.#memory = memory;
    this.#post = post;
  }

  reset(): void {
    this.#lo = 0;
    this.#hi = 0;
    this.#cycle = 0;
    this.running = false;
    this.#slots.clear();
  }

  /** What CRCR shows of the pointer: also the cycle bit. */
  get pointerLo(): number {
    return (this.#lo | this.#cycle) >>> 0;
  }
  get pointerHi(): number {
    return this.#hi;
  }

  setPointerLo(value: number): void {
    if (this.running) {
      if (value & (regs.CRCR_STOP | regs.CRCR_ABORT)) this.stop();
      return;
    }
    this.#lo = (value & ~0x3f) >>> 0;
    this.#cycle = value & regs.CRCR_CYCLE;
  }

  setPointerHi(value: number): void {
    if (!this.running) this.#hi = value;
  }

  stop(): void {
    if (!this.running) return;
    this.running = false;
    this.#complete(CC_RING_STOPPED, 0);
  }

  /** Execute what is ready. */
  run(): void {
    this.running = true;
    const bytes = new Uint8Array(this.#trb.buffer);
    for (let n = 0; n < MAX_BLOCKS && this.running; n++) {
      if (!this.#memory.read(this.#hi, this.#lo, bytes)) return;
      const control = this.#trb[3]!;
      if ((control & TRB_CYCLE) !== this.#cycle) return;
      const type = (control >> 10) & 0x3f;
      if (type === TRB_LINK) {
        this.#lo = (this.#trb[0]! & ~0xf) >>> 0;
        this.#hi = this.#trb[1]!;
        if (control & LINK_TOGGLE) this.#cycle ^= 1;
        continue;
      }
      this.#execute(type, control >>> 24);
      const next = this.#lo + TRB_SIZE;
      this.#lo = next >>> 0;
      if (next > 0xffff_ffff) this.#hi = (this.#hi + 1) >>> 0;
    }
  }

  #execute(type: number, slot: number): void {
    if (type === NOOP || type === SET_LATENCY || type === GET_PORT_BANDWIDTH) this.#complete(CC_SUCCESS, 0);
    else if (type === NEC_FIRMWARE) this.#complete(CC_SUCCESS, 0, FIRMWARE_VERSION);
    else if (type === ENABLE_SLOT) this.#enableSlot();
    else if (type < ENABLE_SLOT || type > LAST_SLOT_COMMAND) this.#complete(CC_TRB, 0);
    else if (!this.#slots.has(slot)) this.#complete(CC_SLOT_NOT_ENABLED, slot);
    else if (type === DISABLE_SLOT) {
      this.#slots.delete(slot);
      this.#complete(CC_SUCCESS, slot);
    } else this.#complete(CC_USB_TRANSACTION, slot);
  }

  #enableSlot(): void {
    for (let slot = 1; slot <= regs.SLOTS; slot++) {
      if (this.#slots.has(slot)) continue;
      this.#slots.add(slot);
      this.#complete(CC_SUCCESS, slot);
      return;
    }
    this.#complete(CC_NO_SLOTS, 0);
  }

  #complete(code: number, slot: number, parameter = 0): void {
    const control = (COMMAND_COMPLETION << 10) | (slot << 24);
    this.#post(Uint32Array.of(this.#lo, this.#hi, (code << 24) | parameter, control));
  }
}
