// What is reported of caches, against a cache that is simulated block by block: random programs on the CPU engine, with DMA of
// both kinds between their steps.
import { GuestMemory } from "@minivmm/host";
import { CACHE_BLOCK, Cpu, ExitReason } from "@minivmm/ppc64";
import { Assembler, r3, r4, r5 } from "@minivmm/ppc64/asm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CacheShadow } from "../src/machines/pseries/coherency/cache-shadow.ts";

const CODE = 0x1_0000;
const DATA = 0x2_0000;
const RAM_BYTES = 1 << 20;
const REAL = 0x8000000000000001n;
/** Blocks in two pages: the first two, and the last of the first page with the first of the second. */
const BLOCKS = [0, 1, 31, 32] as const;

type Step =
  | { readonly op: "store" | "load" | "dcbf" | "dcbst" | "dcbz"; readonly block: number; readonly value: number }
  | { readonly op: "hwsync" | "lwsync" }
  | {
      readonly op: "device read" | "device write";
      readonly block: number;
      readonly snoop: boolean;
      readonly value: number;
    };

const addressOf = (block: number): number => DATA + block * CACHE_BLOCK;
const pageOf = (block: number): number => block >> 5;

/** A cache that keeps what it has, and memory behind it. Values are first words of blocks. */
class SimulatedCache {
  readonly found: string[] = [];
  private readonly memory = new Map<number, number>();
  private readonly lines = new Map<number, { value: number; stale: boolean }>();
  private readonly flushing = new Map<number, number>();
  private readonly usedPages = new Set<number>();
  private readonly invalidated = new Set<number>();

  step(step: Step, at: number): void {
    switch (step.op) {
      case "store":
      case "dcbz":
        this.use(step.block, at, step.op === "dcbz");
        this.lines.set(step.block, { value: step.op === "dcbz" ? 0 : step.value, stale: false });
        break;
      case "load":
        this.use(step.block, at, false);
        break;
      case "dcbf":
      case "dcbst":
        this.flush(step.block, step.op === "dcbf");
        break;
      case "hwsync":
        for (const [block, value] of this.flushing) this.memory.set(block, value);
        this.flushing.clear();
        break;
      case "device read":
        if (!step.snoop) this.checkFlushed(step.block, at);
        break;
      case "device write":
        this.deviceWrites(step, at);
        break;
    }
  }

  private use(block: number, at: number, whole: boolean): void {
    const line = this.lines.get(block);
    if (line?.stale && !whole) this.found.push(`${at} stale`);
    if (line?.stale) line.stale = false;
    this.usedPages.add(pageOf(block));
    this.invalidated.delete(block);
  }

  private newest(block: number): number {
    return this.lines.get(block)?.value ?? this.memory.get(block) ?? 0;
  }

  private flush(block: number, invalidates: boolean): void {
    this.flushing.set(block, this.newest(block));
    if (!invalidates) return;
    const line = this.lines.get(block);
    if (line !== undefined) line.stale = false;
    this.invalidated.add(block);
  }

  private checkFlushed(block: number, at: number): void {
    const newest = this.newest(block);
    if (newest === (this.memory.get(block) ?? 0)) return;
    this.found.push(`${at} ${this.flushing.get(block) === newest ? "unsynced" : "unflushed"}`);
  }

  /** RAM is one for both sides here, so the CPU has what the device wrote, stale or not. */
  private deviceWrites({ block, snoop, value }: Extract<Step, { snoop: boolean }>, at: number): void {
    if (!snoop) this.checkFlushed(block, at);
    this.memory.set(block, value);
    if (this.flushing.has(block)) this.flushing.set(block, value);
    const cached = this.usedPages.has(pageOf(block)) && !this.invalidated.has(block);
    this.lines.set(block, { value, stale: !snoop && cached });
  }
}

/** The same on the engine: each step ends in a hypercall, and DMA is made there. */
function onEngine(steps: readonly Step[]): string[] {
  const shadow = new CacheShadow();
  const cpu = Cpu.create({ ramBytes: RAM_BYTES, decodePages: 16, cacheWatch: shadow });
  const ram = new GuestMemory(cpu.memory.buffer, cpu.ramOffset, cpu.ramBytes);
  const found: string[] = [];
  let at = 0;
  shadow.attach(
    ram,
    () => cpu.forgetTranslations(),
    () => found.push(`${at} stale`),
  );
  const a = new Assembler({ origin: CODE });
  for (const step of steps) {
    if ("block" in step) a.li64(r4, addressOf(step.block));
    if ("value" in step) a.li(r3, step.value);
    if (step.op === "store") a.stw(r3, 0, r4);
    else if (step.op === "load") a.lwz(r5, 0, r4);
    else if (step.op === "dcbf") a.dcbf(0, r4);
    else if (step.op === "dcbst") a.dcbst(0, r4);
    else if (step.op === "dcbz") a.dcbz(0, r4);
    else if (step.op === "hwsync") a.hwsync();
    else if (step.op === "lwsync") a.lwsync();
    a.sc(1);
  }
  ram.writeBytes(CODE, a.bytes());
  cpu.pc = BigInt(CODE);
  cpu.msr = REAL;
  for (const step of steps) {
    expect(cpu.run(10_000)).toBe(ExitReason.hcall);
    if (step.op === "device read" || step.op === "device write") {
      const address = addressOf(step.block);
      if (!step.snoop) {
        const { written, unsynced } = shadow.unflushed(address, 4);
        if (written > 0) found.push(`${at} ${unsynced > 0 ? "unsynced" : "unflushed"}`);
      }
      if (step.op === "device write") {
        ram.setU32le(address, step.value);
        if (step.snoop) shadow.snooped(address, 4);
        else shadow.bypassed(address, 4);
      }
    }
    at++;
  }
  return found;
}

const block = fc.constantFrom(...BLOCKS);
const value = fc.integer({ min: 0, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ op: fc.constantFrom("store" as const, "load" as const, "dcbz" as const), block, value }),
  fc.record({ op: fc.constantFrom("dcbf" as const, "dcbst" as const), block, value }),
  fc.record({ op: fc.constantFrom("hwsync" as const, "hwsync" as const, "lwsync" as const) }),
  fc.record({
    op: fc.constantFrom("device read" as const, "device write" as const),
    block,
    value,
    snoop: fc.boolean(),
  }),
);

describe("vmm coherency: the shadow of memory behind a cache", () => {
  it("finds what a simulated cache does, and nothing else", () => {
    const steps = fc.array(step, { minLength: 1, maxLength: 60, size: "max" });
    let mistakes = 0;
    fc.assert(
      fc.property(steps, (program) => {
        const cache = new SimulatedCache();
        for (const [at, each] of program.entries()) cache.step(each, at);
        expect(onEngine(program)).toEqual(cache.found);
        mistakes += cache.found.length;
      }),
      { numRuns: 150 },
    );
    expect(mistakes).toBeGreaterThan(50);
  });
});
