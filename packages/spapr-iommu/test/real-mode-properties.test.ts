// Real mode against virtual mode: two machines that differ in nothing else get the same calls and are the same afterwards.
// And against a hostile guest: whatever is in its registers, only entries of tables, counts and counters are written.
import { H_GET_TCE, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, KVM_CAP_PPC_ENABLE_HCALL } from "@minivmm/kvm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { KvmSpaprTce } from "../src/index.ts";
import { arenaLayout, KINDS, PreregisteredMemory, type TceTable } from "../src/model/index.ts";
import { LIOBN, MEMORY, vfioRig } from "./kvm-rig.ts";

const PAGE = 65536;
const LIST = 0x3_0000;
/** Entries that are looked at: of two leaves of the hardware table, and of several pages of the guest's. */
const PLACES = [0, 1, 2, 3, 7, 8, 9, 8190, 8191, 8192, 8193, 8194];
const WINDOW = 1n << 30n;

const place = fc.constantFrom(...PLACES, 0x4_0000);
/**
 * With permissions, mostly in memory: entries of lists. One without is counted by each stage that maps it and given up by
 * none, so a call that real mode leaves half way counts it twice, as in the kernel.
 */
const mapping = fc.record({
  page: fc.nat({ max: 0x410 }),
  inside: fc.constantFrom(0, 0, 0, 0, 0, 0, 0x800),
  permission: fc.constantFrom(1, 2, 3),
});
const tce = fc.oneof(
  mapping,
  fc.record({ page: fc.nat({ max: 0x410 }), inside: fc.constant(0), permission: fc.constant(0) }),
);
const which = fc.nat({ max: 1 });
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("put" as const), which, place, tce }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("indirect" as const),
      which,
      place,
      list: fc.array(mapping, { minLength: 1, maxLength: 8 }),
      count: fc.constantFrom(0, 0, 512, 1),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("stuff" as const),
      which,
      place,
      count: fc.constantFrom(0, 1, 2, 5, 8192, 0x4_0000, 0x4_0001),
      value: fc.constantFrom(0, 0, 0, 0x1230, 3),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("get" as const), which, place }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("link" as const), which, group: which }) },
  fc.record({ do: fc.constantFrom("register" as const, "unregister" as const), which }),
  fc.record({ do: fc.constantFrom("map" as const, "unmap" as const), which, place, tce: mapping }),
  fc.record({ do: fc.constantFrom("unlink" as const, "slot" as const, "refuse" as const, "window" as const), which }),
  fc.record({ do: fc.constant("switch" as const), nr: fc.constantFrom(H_PUT_TCE, H_STUFF_TCE), on: which }),
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;
type Tce = { page: number; inside: number; permission: number };
const word = ({ page, inside, permission }: Tce): bigint => BigInt(page * 4096 + inside + permission);

interface Setup {
  profile: "6.12" | "4.12";
  /** log2 of the guest's pages in the second window; the hardware's are 4 KiB. */
  guestShift: 12 | 16;
  pageSize?: 4096 | 65536;
}

class Machine {
  readonly made: ReturnType<typeof vfioRig>;
  readonly tables: KvmSpaprTce[];
  readonly hardware = new Set<TceTable>();
  #slot = true;
  #refusing = false;

  constructor({ profile, guestShift, pageSize = 65536 }: Setup, realMode: boolean) {
    this.made = vfioRig({ profile, realMode, pageSize });
    this.tables = [12, guestShift].map((pageShift, i) =>
      this.made.table({ liobn: LIOBN + i, pageShift, size: WINDOW }),
    );
    for (const half of [0, 1]) this.#register(half);
    for (const table of this.tables) this.made.link(table);
    // A first request of user space, after which a view exists.
    this.#dma("map", 3, 0);
    this.#note();
  }

  /** What the caller gets to see: a number, or registers. */
  perform(each: Action): unknown {
    const { made } = this;
    const call = (nr: number, i: number, at: number, ...args: (bigint | number)[]) => {
      const shift = BigInt(this.tables[i]?.window.pageShift ?? 12);
      const { result, values } = made.model.hypercall(nr, LIOBN + i, BigInt(at) << shift, ...args);
      return [result, values[0]];
    };
    try {
      switch (each.do) {
        case "put":
          return call(H_PUT_TCE, each.which, each.place, word(each.tce));
        case "indirect": {
          const count = each.count || each.list.length;
          const entryOf = (i: number): Tce => each.list[i % each.list.length] as Tce;
          made.list(
            LIST,
            Array.from({ length: count }, (_, i) => word(entryOf(i))),
          );
          return call(H_PUT_TCE_INDIRECT, each.which, each.place, LIST, count);
        }
        case "stuff":
          return call(H_STUFF_TCE, each.which, each.place, each.value, each.count);
        case "get":
          return call(H_GET_TCE, each.which, each.place);
        case "register":
          return this.#register(each.which);
        case "unregister":
          return made.spapr.unregisterMemory(this.#half(each.which));
        case "map":
        case "unmap":
          return this.#dma(each.do, each.place, each.tce.page);
        case "link":
          return made.link(this.tables[each.which] as KvmSpaprTce);
        case "unlink":
          return made.unlink();
        case "slot":
          this.#slot = !this.#slot;
          return made.vm.setMemoryRegion({
            slot: 0,
            guestAddress: 0n,
            ...(this.#slot && { memory: made.memory.bytes }),
          });
        case "window":
          if (made.hardware()) made.spapr.removeWindow(0n);
          else made.spapr.createWindow({ pageShift: 12, windowSize: WINDOW });
          return this.#note();
        case "refuse":
          this.#refusing = !this.#refusing;
          for (const table of this.hardware) table.refuses = this.#refusing ? (entry) => entry % 5 === 3 : null;
          return 0;
        case "switch":
          return made.vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(each.nr), BigInt(each.on)]);
      }
    } catch (error) {
      const { errno } = error as { errno?: number };
      if (errno === undefined) throw error;
      return errno;
    }
  }

  /** Everything that calls can change, without what differs by machine. */
  state(): unknown {
    const { made, tables } = this;
    const { regions } = PreregisteredMemory.of(made.process.mm, made.driver.arena);
    const { base } = made.memory;
    return {
      views: tables.map((table) => PLACES.map((at) => table.entry(at))),
      hardware: [...this.hardware].map((table) => [
        table.live,
        ...PLACES.flatMap((at) => [at, at * 16, at * 16 + 15]).map((at) => [
          table.permission(at),
          table.permission(at) === 0 ? 0 : table.page(at),
          table.userAddress(at) === 0 ? 0 : table.userAddress(at) - base,
        ]),
      ]),
      regions: regions.map(({ start, mapped, used }) => [start - base, mapped, used]),
      log: made.kernel.log.length,
    };
  }

  get answered(): number {
    const { real } = this.made.counters().stages;
    return Object.values(real).reduce((sum, { success, parameter }) => sum + success + parameter, 0);
  }

  #half(half: number): { address: bigint; size: number } {
    return { address: BigInt(this.made.memory.base + (half * MEMORY) / 2), size: MEMORY / 2 };
  }

  #register(half: number): unknown {
    return this.made.spapr.registerMemory(this.#half(half));
  }

  #dma(what: "map" | "unmap", at: number, page: number): number {
    const { spapr, memory } = this.made;
    const user = memory.base + page * 4096;
    return what === "unmap"
      ? spapr.unmapDma(0, at * 4096, 4096)
      : spapr.mapDma(0, at * 4096, Math.floor(user / 2 ** 32), user % 2 ** 32, 4096, 3);
  }

  #note(): void {
    if (this.made.hardware()) this.hardware.add(this.made.hardware());
  }
}

const SETUPS: readonly Setup[] = [
  { profile: "6.12", guestShift: 12 },
  { profile: "6.12", guestShift: 16 },
  { profile: "6.12", guestShift: 16, pageSize: 4096 },
  { profile: "4.12", guestShift: 12 },
];

describe("spapr-iommu real mode: the same as virtual mode", () => {
  it.each(SETUPS)("in any order of calls: %j", (setup) => {
    let answered = 0;
    fc.assert(
      fc.property(fc.array(action, { minLength: 10, maxLength: 50 }), (actions) => {
        const [real, virtual] = [new Machine(setup, true), new Machine(setup, false)];
        for (const [n, each] of actions.entries()) {
          const what = `${n}: ${JSON.stringify(each)}`;
          expect(real.perform(each), what).toEqual(virtual.perform(each));
          expect(real.state(), what).toEqual(virtual.state());
        }
        answered += real.answered;
        expect(virtual.answered).toBe(0);
        for (const { made } of [real, virtual]) made.process.exit();
      }),
      { numRuns: 60 },
    );
    expect(answered).toBeGreaterThan(200);
  });
});

const { GUEST, HARDWARE, LEAF_WORDS, REGION, VM } = arenaLayout;
const CANARY = 0xdead_beef;
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const edge = fc.constantFrom(0n, 1n, 3n, 1n << 63n, (1n << 64n) - 1n, 1n << 52n, 1n << 32n, (1n << 64n) - 4096n);
const near = fc.record({ at: fc.bigInt({ min: -3n, max: 0x4_0003n }), low: fc.constantFrom(0n, 0n, 1n, 3n, 0x800n) });
const page = near.map(({ at, low }) => BigInt.asUintN(64, (at << 12n) | low));
const mapped = fc.bigInt({ min: 0n, max: 0x3ffn }).map((at) => (at << 12n) | 3n);
const register = fc.oneof(page, page, edge, u64);
const hostile = fc.record({
  nr: fc.constantFrom(H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_GET_TCE),
  liobn: fc.oneof({ weight: 8, arbitrary: fc.constantFrom(BigInt(LIOBN), BigInt(LIOBN + 1)) }, u64),
  ioba: register,
  value: fc.oneof(register, fc.constant(BigInt(LIST))),
  count: fc.oneof(register, fc.bigInt({ min: 0n, max: 520n }), fc.bigInt({ min: 0n, max: 8n })),
  list: fc.array(fc.oneof({ weight: 8, arbitrary: mapped }, register), { maxLength: 8 }),
});

describe("spapr-iommu real mode: a hostile guest", () => {
  it.each(["6.12", "4.12"] as const)("reaches nothing but its tables on %s", (profile) => {
    const made = vfioRig({ profile, realMode: true });
    const { arena } = made.driver;
    const canaries: number[] = [];
    const canary = (): void => {
      for (const size of [4, 16, 64, 1024]) {
        const at = arena.allocate(size);
        arena.words.fill(CANARY, at, at + size);
        canaries.push(at, size);
      }
    };
    canary();
    made.link(made.table());
    canary();
    if (made.link(made.table({ liobn: LIOBN + 1, pageShift: 16 })) !== 0) made.link(made.table({ liobn: 1n }));
    made.register();
    canary();
    made.spapr.mapDma(0, 0, Math.floor(made.memory.base / 2 ** 32), made.memory.base % 2 ** 32, 4096, 3);
    const vm = made.tce.record(made.model);

    // Pages and levels, which virtual mode makes.
    for (let leaf = 0; leaf < 32; leaf++) made.call(H_PUT_TCE, LIOBN, leaf * 8192 * 4096, 3);

    /** 1 for each word that a call may write. */
    function writable(): Uint8Array {
      const { words } = arena;
      const may = new Uint8Array(words.length);
      const add = (from: number, count: number): void => void may.fill(1, from, from + count);
      add(vm + VM.COUNTERS, 2 * 96);
      add(vm + VM.WARNED, 1);
      for (let table = words[vm + VM.TABLES] as number; table !== 0; table = words[table + GUEST.NEXT] as number) {
        const pages = words[table + GUEST.PAGES] as number;
        for (let n = 0; n < (words[table + GUEST.PAGE_COUNT] as number); n++) {
          if (words[pages + n] !== 0) add(words[pages + n] as number, PAGE / 4);
        }
      }
      const { record } = made.hardware();
      add(record + HARDWARE.LIVE, 1);
      const directory = words[record + HARDWARE.ROOT] as number;
      for (let n = 0; n < 32; n++) if (words[directory + n] !== 0) add(words[directory + n] as number, LEAF_WORDS);
      for (const region of PreregisteredMemory.of(made.process.mm, arena).regions)
        add(region.record + REGION.MAPPED, 1);
      return may;
    }

    const stage = made.kvm.realMode?.(made.model);
    const gpr = new BigUint64Array(32);
    gpr.set([BigInt(H_GET_TCE), BigInt(LIOBN)], 3);
    const used = arena.words.slice();
    stage?.call(gpr);
    const may = writable();
    for (let word = 0; word < used.length; word++) {
      // Counters of this caller's answered calls: four, of which the last has moved.
      if (arena.words[word] !== used[word]) may.fill(1, word - 6, word + 2);
    }
    canary();
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 1, maxLength: 12 }), (calls) => {
        const before = arena.words.slice();
        for (const { nr, liobn, ioba, value, count, list } of calls) {
          made.list(LIST, list);
          gpr.set([BigInt(nr), liobn, ioba, value, count], 3);
          expect(stage?.call(gpr)).toBeTypeOf("number");
        }
        const { words } = arena;
        expect(words.length).toBe(before.length);
        let wrong = -1;
        for (let word = 0; word < words.length && wrong < 0; word++) {
          if (words[word] !== before[word] && may[word] === 0) wrong = word;
        }
        expect(wrong).toBe(-1);
      }),
      { numRuns: 150 },
    );
    for (let n = 0; n < canaries.length; n += 2) {
      const [at, size] = [canaries[n] as number, canaries[n + 1] as number];
      expect(arena.words.subarray(at, at + size).every((each) => each === CANARY)).toBe(true);
    }
    const { real } = made.counters().stages;
    for (const kind of KINDS) expect(real[kind].success, kind).toBeGreaterThan(0);
    for (const kind of KINDS.slice(0, 3)) expect(real[kind].entries, kind).toBeGreaterThan(0);
  });
});
