// Any order of hypercalls and ioctls: nothing is written outside of a table, no entry of any hardware table, in use or
// forgotten, reaches memory that is not registered, and every locked page and every word of the arena is accounted for.
import type { ModelProcess } from "@minivmm/host/model";
import { H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE } from "@minivmm/kvm";
import { VfioContainer } from "@minivmm/vfio-core/model";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KvmSpaprTce } from "../src/index.ts";
import { isTceContainer, PreregisteredMemory, type TceTable } from "../src/model/index.ts";
import { LIOBN, vfioRig } from "./kvm-rig.ts";

const PAGE = 65536;
const LIST = 0x3_0000;
const ENTRIES = 40;
const CANARY = 0xdead_beef;

const tce = fc.record({
  page: fc.nat({ max: 66 }),
  inside: fc.constantFrom(0, 0, 0, 0, 0, 0x800, 0x1000),
  permission: fc.nat({ max: 3 }),
});
const index = fc.nat({ max: ENTRIES + 2 });
const which = fc.nat({ max: 1 });
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("put" as const), which, index, tce }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("indirect" as const),
      which,
      index,
      list: fc.array(tce, { maxLength: 6 }),
      count: fc.nat({ max: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("stuff" as const),
      which,
      index,
      count: fc.nat({ max: ENTRIES + 3 }),
      value: fc.constantFrom(0, 0, 0x1230, 3),
    }),
  },
  fc.record({
    do: fc.constantFrom("register" as const, "unregister" as const),
    half: which,
    whole: fc.nat({ max: 5 }),
  }),
  fc.record({ do: fc.constantFrom("map" as const, "unmap" as const), which, index, page: fc.nat({ max: 63 }) }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant("link" as const), which }) },
  fc.record({ do: fc.constantFrom("link" as const, "table" as const, "window" as const), which }),
  fc.record({ do: fc.constantFrom("link" as const, "unlink" as const, "slot" as const, "refuse" as const), which }),
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;
type Tce = { page: number; inside: number; permission: number };

const tceWord = ({ page, inside, permission }: Tce): bigint => BigInt(page * PAGE + inside + permission);

/** Two guest windows over one container, and what they should hold. */
class Scene {
  readonly made: ReturnType<typeof vfioRig>;
  readonly views: bigint[][] = [[], []];
  readonly tables: (KvmSpaprTce | null)[] = [null, null];
  /** Every hardware table that ever was. */
  readonly hardware = new Set<TceTable>();
  readonly canaries: number[] = [];
  slot = true;

  /** Entries of a guest window; an old kernel fills the last page. */
  readonly entries: number;

  constructor(profile: "6.12" | "4.12", realMode: boolean) {
    this.entries = profile === "4.12" ? PAGE / 8 : ENTRIES;
    this.made = vfioRig({ profile, realMode });
    for (const i of [0, 1]) {
      this.made.spapr.registerMemory(this.half(i, 32));
      this.table(i);
    }
    this.perform({ do: "window", which: 0 });
    this.perform({ do: "window", which: 0 });
    for (const i of [0, 1]) this.perform({ do: "link", which: i });
    this.perform({ do: "map", which: 0, index: 1, page: 1 });
  }

  /** Some pages from the beginning of either half of memory on. */
  half(i: number, pages: number): { address: bigint; size: number } {
    return { address: BigInt(this.made.memory.base + i * 32 * PAGE), size: pages * PAGE };
  }

  start(i: number): number {
    return i * this.entries * PAGE;
  }

  table(i: number): void {
    this.tables[i]?.close();
    this.canaries.push(this.made.driver.arena.allocate(12));
    for (let word = 0; word < 12; word++)
      this.made.driver.arena.words[(this.canaries.at(-1) as number) + word] = CANARY;
    const size = BigInt(this.entries * PAGE);
    const busAddress = BigInt(this.start(i));
    this.tables[i] = KvmSpaprTce.create(this.made.vm, { liobn: LIOBN + i, pageShift: 16, busAddress, size });
    this.views[i] = new Array<bigint>(ENTRIES).fill(0n);
  }

  perform(each: Action): void {
    const { made } = this;
    switch (each.do) {
      case "put": {
        const value = tceWord(each.tce);
        this.call(H_PUT_TCE, each.which, each.index, [value], (written) => [value].slice(0, written));
        break;
      }
      case "indirect": {
        const list = each.list.map(tceWord);
        const all = Array.from({ length: each.count }, (_, i) => list[i] ?? 0n);
        made.list(LIST, all);
        this.call(H_PUT_TCE_INDIRECT, each.which, each.index, [LIST, each.count], (written) => all.slice(0, written));
        break;
      }
      case "stuff":
        this.call(H_STUFF_TCE, each.which, each.index, [each.value, each.count], (written) =>
          new Array<bigint>(written).fill(BigInt(each.value)),
        );
        break;
      case "register":
      case "unregister": {
        const range = this.half(each.half, each.whole > 0 ? 32 : 16);
        quietly(() => (each.do === "register" ? made.spapr.registerMemory(range) : made.spapr.unregisterMemory(range)));
        break;
      }
      case "map":
      case "unmap": {
        const user = made.memory.base + each.page * PAGE;
        const iova = this.start(each.which) + each.index * PAGE;
        if (each.do === "unmap") made.spapr.unmapDma(0, iova, PAGE);
        else made.spapr.mapDma(0, iova, Math.floor(user / 2 ** 32), user % 2 ** 32, PAGE, 3);
        break;
      }
      case "link":
        made.link(this.tables[each.which] as KvmSpaprTce);
        break;
      case "table":
        this.table(each.which);
        break;
      case "window":
        // A window over both guest windows, or one over the first alone.
        if (made.hardware()) made.spapr.removeWindow(0n);
        else
          made.spapr.createWindow({
            pageShift: each.which === 0 ? 16 : 12,
            windowSize: this.entries === ENTRIES ? 1n << 23n : BigInt(this.entries * PAGE),
          });
        break;
      case "unlink":
        made.unlink();
        break;
      case "slot":
        this.slot = !this.slot;
        made.vm.setMemoryRegion({ slot: 0, guestAddress: 0n, ...(this.slot && { memory: made.memory.bytes }) });
        break;
      case "refuse": {
        const table = made.hardware();
        if (table) table.refuses = table.refuses ? null : (entry) => entry % 7 === 3;
        break;
      }
    }
    if (made.hardware()) this.hardware.add(made.hardware());
  }

  /** A hypercall; the guest's view should have what `values` says for as many entries as were written. */
  call(nr: number, i: number, at: number, args: (bigint | number)[], values: (written: number) => bigint[]): void {
    const entries = (stage: "real" | "virtual") =>
      Object.values(this.made.counters().stages[stage]).reduce((sum, { entries: each }) => sum + each, 0);
    const [real, virtual] = [entries("real"), entries("virtual")];
    this.made.call(nr, LIOBN + i, this.start(i) + at * PAGE, ...args);
    // What real mode left to virtual mode was done again from the first entry on.
    const written = values(Math.max(entries("real") - real, entries("virtual") - virtual));
    const view = this.views[i] as bigint[];
    for (const [offset, value] of written.entries()) {
      expect(at + offset).toBeLessThan(this.entries);
      if (at + offset < ENTRIES) view[at + offset] = value;
    }
  }

  check(): void {
    const { made, tables } = this;
    const { process, driver } = made;
    for (const [i, view] of this.views.entries()) {
      expect(view.length).toBe(ENTRIES);
      expect(view.map((_, entry) => (tables[i] as KvmSpaprTce).entry(entry))).toEqual(view);
    }
    const { regions } = PreregisteredMemory.of(process.mm, driver.arena);
    const uses = new Map(regions.map((region) => [region, 0]));
    for (const table of this.hardware) {
      if (!table.isHeld) continue;
      for (let at = table.nextLive(0, table.entries); at < table.entries; at = table.nextLive(at + 1, table.entries)) {
        const page = table.page(at);
        const region = regions.find((each) => holds(process, each.start, each.end, page, table.pageSize));
        expect(region, `entry ${at} reaches ${page.toString(16)}`).toBeDefined();
        if (region) uses.set(region, (uses.get(region) as number) + 1);
      }
    }
    for (const [region, count] of uses) expect(region.mapped - 1).toBeGreaterThanOrEqual(count);
    const ops = process.fileOf(made.container.fd)?.ops;
    const instance = ops instanceof VfioContainer ? ops.instance : null;
    const charged = isTceContainer(instance) ? instance.account.charged : 0;
    const registered = regions.reduce((sum, region) => sum + region.count, 0);
    expect(process.mm.lockedPages).toBe(registered + charged + tables.length * 2);
  }

  finish(): void {
    const { arena } = this.made.driver;
    for (const canary of this.canaries) {
      expect([...arena.words.subarray(canary, canary + 12)]).toEqual(new Array(12).fill(CANARY));
    }
    this.made.process.exit();
    expect(this.made.kvm.vms.size).toBe(0);
    for (const table of this.hardware) expect(table.isHeld).toBe(false);
    const { regions, head } = PreregisteredMemory.of(this.made.process.mm, arena);
    expect(this.made.process.mm.lockedPages).toBe(regions.reduce((sum, region) => sum + region.count, 0));
    const left = regions.reduce((sum, { count }) => sum + 16 + 2 ** Math.ceil(Math.log2(count * 2)), 0);
    expect(head).toBeGreaterThan(0);
    expect(arena.used).toBe(left + 4 + this.canaries.length * 16);
  }
}

function holds(process: ModelProcess, start: number, end: number, page: number, size: number): boolean {
  const first = process.mm.virtToPhys(start);
  return page >= first && page + size <= first + (end - start);
}

function quietly(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    expect((error as { errno?: number }).errno).toBeTypeOf("number");
  }
}

describe("spapr-iommu KVM properties", () => {
  it.each([
    ["6.12", false],
    ["6.12", true],
    ["4.12", false],
    ["4.12", true],
  ] as const)("holds its promises in any order of calls on %s, real mode %s", (profile, realMode) => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 20, maxLength: 60 }), (actions) => {
        const scene = new Scene(profile, realMode);
        scene.check();
        for (const each of actions) {
          quietly(() => scene.perform(each));
          scene.check();
        }
        scene.finish();
      }),
      { numRuns: 60 },
    );
  });
});
