// Writes to registered zones that KVM has put into a ring instead of leaving the guest for each.
// Source: virt/kvm/coalesced_mmio.c; struct kvm_coalesced_mmio_ring.
// Invariants: the ring belongs to the VM, so one thread reads it; an entry is read before the kernel may use its place
// again. A device whose zone is coalesced drains the ring before it answers anything else, or writes would be out of order.

import { kvm_coalesced_mmio, kvm_coalesced_mmio_ring } from "../uapi-x86.ts";

/** Data as two halves of 32 bits; `port` is true for a port, false for memory. */
export type CoalescedWrite = (address: number, length: number, lo: number, hi: number, port: boolean) => void;

const HEAD_WORDS = kvm_coalesced_mmio_ring.size / 4;
const ENTRY_WORDS = kvm_coalesced_mmio.size / 4;
const FIRST = 0;
const LAST = 1;
const LEN = kvm_coalesced_mmio.offsets.len / 4;
const PIO = kvm_coalesced_mmio.offsets.pio / 4;
const DATA = kvm_coalesced_mmio.offsets.data / 4;

export class CoalescedRing {
  readonly #words: Uint32Array;
  readonly #capacity: number;

  private constructor(words: Uint32Array) {
    this.#words = words;
    this.#capacity = Math.floor((words.length - HEAD_WORDS) / ENTRY_WORDS);
  }

  /** The ring at `offset` of a run page area; null where the area ends before it. */
  static in(area: Uint8Array, offset: number, pageSize: number): CoalescedRing | null {
    if (offset + pageSize > area.length) return null;
    return new CoalescedRing(new Uint32Array(area.buffer, area.byteOffset + offset, pageSize / 4));
  }

  /** Hands over what there is, oldest first. Returns how many. */
  drain(write: CoalescedWrite): number {
    const words = this.#words;
    let count = 0;
    for (let first = words[FIRST] as number; first !== Atomics.load(words, LAST); count++) {
      const at = HEAD_WORDS + first * ENTRY_WORDS;
      const address = (words[at + 1] as number) * 2 ** 32 + (words[at] as number);
      const length = words[at + LEN] as number;
      const port = words[at + PIO] === 1;
      const lo = words[at + DATA] as number;
      const hi = words[at + DATA + 1] as number;
      first = (first + 1) % this.#capacity;
      Atomics.store(words, FIRST, first);
      write(address, length, lo, hi, port);
    }
    return count;
  }
}
