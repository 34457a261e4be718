// The arena as compiled code would use it: only words and the exported offsets, no class of the model.

import { H_PUT_TCE, H_SUCCESS } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  arenaLayout,
  counterLayout,
  KINDS,
  memoryStore,
  OUTCOMES,
  ownStore,
  regionStore,
  STAGES,
  TceArena,
  TceTable,
  type WasmMemory,
} from "../src/model/index.ts";
import { GIB, LIOBN, vfioRig } from "./kvm-rig.ts";

/** The part of the JavaScript API that no type library here names. */
const { Memory } = (
  globalThis as unknown as {
    WebAssembly: { Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory };
  }
).WebAssembly;
const { GUEST, HARDWARE, HEADER, LINK, REGION, SLOT, VM } = arenaLayout;

describe("spapr-iommu arena: allocation", () => {
  it("hands out zeroed blocks that do not overlap, and takes them back", () => {
    const step = fc.record({ size: fc.integer({ min: 1, max: 5000 }), free: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const arena = new TceArena(16);
        const blocks: { at: number; size: number; mark: number }[] = [];
        for (const [mark, { size, free }] of steps.entries()) {
          const gone = free ? blocks.shift() : undefined;
          if (gone) arena.free(gone.at, gone.size);
          const at = arena.allocate(size);
          expect(arena.words.subarray(at, at + size).every((word) => word === 0)).toBe(true);
          arena.words.fill(mark + 1, at, at + size);
          blocks.push({ at, size, mark: mark + 1 });
        }
        for (const { at, size, mark } of blocks) {
          expect(arena.words.subarray(at, at + size).every((word) => word === mark)).toBe(true);
          arena.free(at, size);
        }
        expect(arena.used).toBe(0);
        expect(arena.words[HEADER.MAGIC]).toBe(arenaLayout.ARENA_MAGIC);
      }),
    );
  });

  it("answers 0 when a store is full, and goes on afterwards", () => {
    for (const store of [ownStore(0x2_0000), regionStore(new SharedArrayBuffer(0x2_0000), 0, 0x2_0000)]) {
      const arena = new TceArena(16, store);
      const first = arena.allocate(0x2000);
      expect(first).toBeGreaterThan(0);
      expect([arena.allocate(0x8000), arena.allocate(2 ** 40)]).toEqual([0, 0]);
      arena.free(first, 0x2000);
      expect(arena.allocate(0x2000)).toBe(first);
    }
    expect(() => regionStore(new ArrayBuffer(64), 4, 32)).toThrow(/cannot begin at byte 4/);
  });

  it("keeps the table's rules when it is full: no entry, no memory counted", () => {
    const arena = new TceArena(16, ownStore(0x1_0000));
    const shape = { start: 0n, pageShift: 12, entries: 64, levels: 1, allocatedBytes: 0, writeImpliesRead: false };
    const table = TceTable.create(shape, arena) as TceTable;
    expect(table.exchange(1, 0x1000, 3)).toBe(-1);
    expect([table.live, table.setUserAddress(1, 0x1000), table.setUserAddress(1, 0)]).toEqual([0, false, true]);
  });
});

/** Reads what H_PUT_TCE left, from words alone. */
class Reader {
  readonly words: Uint32Array;

  constructor(words: Uint32Array) {
    this.words = words;
  }

  at(pointer: number, field: number): number {
    return this.words[pointer + field] as number;
  }

  wide(pointer: number, field: number): bigint {
    return (BigInt(this.at(pointer, field + 1)) << 32n) | BigInt(this.at(pointer, field));
  }

  guest(vm: number, liobn: bigint): number {
    let table = this.at(vm, VM.TABLES);
    while (table !== 0 && this.wide(table, GUEST.LIOBN) !== liobn) table = this.at(table, GUEST.NEXT);
    return table;
  }

  guestEntry(table: number, index: number, pageSize: number): bigint {
    const page = this.at(this.at(table, GUEST.PAGES), Math.floor((index * 8) / pageSize));
    return page === 0 ? 0n : this.wide(page, (index % (pageSize / 8)) * 2);
  }

  /** Pointer to a hardware entry, or 0. */
  entry(table: number, index: number): number {
    let node = this.at(table, HARDWARE.ROOT);
    const leaf = index >> arenaLayout.LEAF_SHIFT;
    for (let level = this.at(table, HARDWARE.DEPTH); level > 0 && node !== 0; level--) {
      node = this.at(node, (leaf >> ((level - 1) * arenaLayout.DIRECTORY_SHIFT)) & 0x1fff);
    }
    return node === 0 ? 0 : node + (index & (arenaLayout.LEAF_ENTRIES - 1)) * 2;
  }
}

describe("spapr-iommu arena: layout", () => {
  const memory = new Memory({ initial: 2, maximum: 512, shared: true });
  const made = vfioRig({ store: memoryStore(memory, 64) });
  made.register();
  made.table({ liobn: 1n << 40n, size: 0x1000n });
  made.link(made.table());
  const index = 0x1_2345;
  const put = made.call(H_PUT_TCE, LIOBN, index * 4096, 0x2_1003);
  const read = new Reader(new Uint32Array(memory.buffer, 64));
  const vm = made.tce.record(made.model);
  const guest = read.guest(vm, BigInt(LIOBN));
  const hardware = read.at(read.at(guest, GUEST.LINKS), LINK.HARDWARE);

  it("begins with magic, version and page size", () => {
    expect(put).toBe(H_SUCCESS);
    expect([read.at(0, HEADER.MAGIC), read.at(0, HEADER.VERSION), read.at(0, HEADER.PAGE_SHIFT)]).toEqual([
      arenaLayout.ARENA_MAGIC,
      2,
      16,
    ]);
  });

  it("leads from the VM over the LIOBN to the guest's entries", () => {
    expect(guest).not.toBe(0);
    expect(read.guest(vm, 2n)).toBe(0);
    expect(read.at(guest, GUEST.PAGE_SHIFT)).toBe(12);
    expect([read.wide(guest, GUEST.OFFSET), read.wide(guest, GUEST.ENTRIES)]).toEqual([0n, 0x4_0000n]);
    expect(read.guestEntry(guest, index, 65536)).toBe(0x2_1003n);
    expect(read.guestEntry(guest, index + 1, 65536)).toBe(0n);
  });

  it("leads on to the hardware's entry and its user address", () => {
    expect(read.at(hardware, HARDWARE.FLAGS)).toBe(
      arenaLayout.HARDWARE_WRITE_IMPLIES_READ | arenaLayout.HARDWARE_USER_VIEW,
    );
    expect(read.wide(hardware, HARDWARE.ENTRIES)).toBe(GIB / 4096n);
    expect([read.at(hardware, HARDWARE.PAGE_SHIFT), read.at(hardware, HARDWARE.LIVE)]).toEqual([12, 1]);
    const entry = read.entry(hardware, index);
    const physical = BigInt(made.process.mm.virtToPhys(made.memory.base + 0x2_1000));
    expect(read.wide(entry, 0)).toBe(physical | 3n);
    expect(read.wide(entry + arenaLayout.LEAF_USER, 0)).toBe(made.memory.address + 0x2_1000n);
    expect(read.entry(hardware, 0)).toBe(0);
  });

  it("has the slots and regions that lead from a guest page to a host page", () => {
    expect(read.at(vm, VM.SLOT_COUNT)).toBe(1);
    const slot = read.at(vm, VM.SLOTS);
    expect([read.wide(slot, SLOT.PAGE), read.wide(slot, SLOT.PAGES), read.wide(slot, SLOT.USER)]).toEqual([
      0n,
      64n,
      made.memory.address,
    ]);
    made.vm.setMemoryRegion({ slot: 1, guestAddress: 1n << 30n, memory: new Uint8Array(0x1_0000) });
    expect(made.tce.record(made.model)).toBe(vm);
    expect(read.at(vm, VM.SLOT_COUNT)).toBe(2);
    expect(read.wide(read.at(vm, VM.SLOTS) + SLOT.SIZE, SLOT.PAGE)).toBe(0x4000n);
    const region = read.at(read.at(vm, VM.REGIONS), 0);
    expect(read.wide(region, REGION.START)).toBe(made.memory.address);
    expect(read.wide(region, REGION.END) - read.wide(region, REGION.START)).toBe(0x40_0000n);
    expect([read.at(region, REGION.MAPPED), read.at(region, REGION.USED), read.at(region, REGION.NEXT)]).toEqual([
      2, 1, 0,
    ]);
    const page = read.wide(read.at(region, REGION.PAGES), 2 * 2);
    expect(page).toBe(BigInt(made.process.mm.virtToPhys(made.memory.base + 0x2_0000)));
  });

  it("has the counters where the layout says", () => {
    const { CALLS, ENTRIES } = counterLayout;
    const which = STAGES.indexOf("virtual") * KINDS.length + KINDS.indexOf("H_PUT_TCE");
    const success = CALLS + which * OUTCOMES.length + OUTCOMES.indexOf("success");
    expect(read.wide(vm, VM.COUNTERS + success * 2)).toBe(1n);
    expect(read.wide(vm, VM.COUNTERS + (ENTRIES + which) * 2)).toBe(1n);
  });

  it("takes what compiled code writes as its own", () => {
    const entry = read.entry(hardware, index);
    const region = read.at(read.at(vm, VM.REGIONS), 0);
    // What a fast stage does for a page that is already in a leaf.
    read.words[entry + 2] = (read.words[entry] as number) & ~2;
    read.words[entry + 3] = read.words[entry + 1] as number;
    read.words[entry + arenaLayout.LEAF_USER + 2] = read.words[entry + arenaLayout.LEAF_USER] as number;
    read.words[entry + arenaLayout.LEAF_USER + 3] = read.words[entry + arenaLayout.LEAF_USER + 1] as number;
    read.words[hardware + HARDWARE.LIVE] = 2;
    read.words[region + REGION.MAPPED] = 3;
    expect([made.hardware().permission(index + 1), made.hardware().live]).toEqual([1, 2]);
    expect(made.call(H_PUT_TCE, LIOBN, (index + 1) * 4096, 0)).toBe(H_SUCCESS);
    expect([made.hardware().live, read.at(region, REGION.MAPPED)]).toEqual([1, 2]);
    expect(made.call(H_PUT_TCE, LIOBN + 1, 0, 0)).toBe(H_TOO_HARD);
  });
});
