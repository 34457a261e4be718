// What one VM has for hypercalls on TCEs: its tables by LIOBN, its memory slots, its process's registered memory.
// Slots are copied into the arena when they change (arena/layout.ts, VM and SLOT), so that every stage sees the same.
// Invariants: LIOBNs of a VM differ; the record lives as long as the VM, which each table keeps alive.
import { ENOMEM } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import type { Vm } from "@minivmm/kvm/model";
import { GUEST, readNumber, SLOT, type TceArena, VM, writeNumber } from "../arena/index.ts";
import { pageNumber } from "../bus-address.ts";
import { PreregisteredMemory } from "../prereg.ts";
import { Counters } from "./counters.ts";
import type { GuestTable } from "./guest-table.ts";

export class VmTce {
  readonly vm: Vm;
  readonly arena: TceArena;
  /** VM record in the arena. */
  readonly record: number;
  readonly regions: PreregisteredMemory;
  readonly counters: Counters;
  readonly tables: GuestTable[] = [];
  readonly #pageSize: number;
  readonly #pageShift: number;
  #last: GuestTable | null = null;
  #slotsVersion = -1;
  #slotCount = 0;
  /** The slot that was hit last: guest pages, and the user address of the first. */
  #slotFirst = 0;
  #slotEnd = 0;
  #slotUser = 0;

  readonly #warn: (message: string) => void;

  /** `warn`: something that should not happen did. */
  constructor(vm: Vm, arena: TceArena, warn: (message: string) => void) {
    this.vm = vm;
    this.#warn = warn;
    this.arena = arena;
    this.#pageSize = vm.process.pageSize;
    this.#pageShift = Math.log2(this.#pageSize);
    this.regions = PreregisteredMemory.of(vm.process.mm, arena);
    this.record = arena.allocate(VM.SIZE);
    if (this.record === 0) throw new KernelError(ENOMEM, "the TCE arena is full");
    arena.words[this.record + VM.REGIONS] = this.regions.head;
    this.counters = new Counters(arena, this.record);
  }

  /** The table of a LIOBN, or null. */
  find(hi: number, lo: number): GuestTable | null {
    const last = this.#last;
    if (last !== null && last.liobnLo === lo && last.liobnHi === hi) return last;
    for (let i = 0; i < this.tables.length; i++) {
      const table = this.tables[i] as GuestTable;
      if (table.liobnLo !== lo || table.liobnHi !== hi) continue;
      this.#last = table;
      return table;
    }
    return null;
  }

  add(table: GuestTable): void {
    this.tables.unshift(table);
    this.#chain();
  }

  remove(table: GuestTable): void {
    const at = this.tables.indexOf(table);
    if (at < 0) return;
    this.tables.splice(at, 1);
    if (this.#last === table) this.#last = null;
    this.#chain();
  }

  /** kvmppc_tce_to_ua: user address behind a TCE's guest address, without permission bits; -1 outside of memory. */
  userAddress(hi: number, lo: number): number {
    this.refresh();
    const page = pageNumber(hi, lo, this.#pageShift);
    if (!(page >= this.#slotFirst && page < this.#slotEnd) && !this.#findSlot(page)) return -1;
    return this.#slotUser + (page - this.#slotFirst) * this.#pageSize + (lo & (this.#pageSize - 4));
  }

  /** Brings the arena's copy of the memory slots up to date. */
  refresh(): void {
    if (this.#slotsVersion !== this.vm.slots.version) this.#copySlots();
  }

  /** A hardware table could not be updated, and the entry was cleared: told once for each VM, by whichever stage. */
  warnOnce(index: number): void {
    const { words } = this.arena;
    if (words[this.record + VM.WARNED] !== 0) return;
    words[this.record + VM.WARNED] = 1;
    this.#warn(`WARNING: KVM could not update entry ${index} of a hardware TCE table; it was cleared`);
  }

  /** The VM is gone. */
  release(): void {
    const { words } = this.arena;
    this.arena.free(words[this.record + VM.SLOTS] as number, this.#slotCount * SLOT.SIZE);
    this.arena.free(this.record, VM.SIZE);
  }

  #findSlot(page: number): boolean {
    const { words } = this.arena;
    const slots = words[this.record + VM.SLOTS] as number;
    for (let i = 0; i < this.#slotCount; i++) {
      const at = slots + i * SLOT.SIZE;
      const first = readNumber(words, at + SLOT.PAGE);
      const end = first + readNumber(words, at + SLOT.PAGES);
      if (page < first || page >= end) continue;
      this.#slotFirst = first;
      this.#slotEnd = end;
      this.#slotUser = readNumber(words, at + SLOT.USER);
      return true;
    }
    return false;
  }

  #copySlots(): void {
    const { arena, record } = this;
    const slots = [...this.vm.slots.values()];
    arena.free(arena.words[record + VM.SLOTS] as number, this.#slotCount * SLOT.SIZE);
    const copy = slots.length === 0 ? 0 : arena.allocate(slots.length * SLOT.SIZE);
    // Without room for the copy there is no guest memory: calls that need it go to user space.
    this.#slotCount = copy === 0 ? 0 : slots.length;
    this.#slotsVersion = this.vm.slots.version;
    this.#slotFirst = this.#slotEnd = 0;
    const { words } = arena;
    words[record + VM.SLOTS] = copy;
    words[record + VM.SLOT_COUNT] = this.#slotCount;
    for (let i = 0; i < this.#slotCount; i++) {
      const { start, size, userAddress } = slots[i] as (typeof slots)[number];
      const at = copy + i * SLOT.SIZE;
      writeNumber(words, at + SLOT.PAGE, start / this.#pageSize);
      writeNumber(words, at + SLOT.PAGES, size / this.#pageSize);
      writeNumber(words, at + SLOT.USER, userAddress);
    }
  }

  /** Writes the list's order into the arena. */
  #chain(): void {
    const { words } = this.arena;
    let at = this.record + VM.TABLES;
    for (const { record } of this.tables) {
      words[at] = record;
      at = record + GUEST.NEXT;
    }
    words[at] = 0;
  }
}
