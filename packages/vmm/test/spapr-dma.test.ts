import { EBUSY, ENOSPC, GuestMemory } from "@minivmm/host";
import { beforeEach, describe, expect, it } from "vitest";
import { TceTables } from "../src/machines/pseries/iommu.ts";
import { SpaprDma, type SpaprDmaTarget } from "../src/pci/spapr-dma.ts";
import { newDmaSummary } from "../src/summary.ts";

const LIOBN = 0x80000000;
const VADDR = 0x7fff_1234_0000n;

/** A container that notes requests and answers what it was told to. */
class NotedTarget implements SpaprDmaTarget {
  readonly log: string[] = [];
  answers: number[] = [];
  refuseLevelsBelow = 0;
  start = 0n;
  createWindow(request: { pageShift: number; windowSize: bigint; levels: number }): bigint {
    this.log.push(`create ${request.pageShift} ${request.windowSize} ${request.levels}`);
    if (request.levels < this.refuseLevelsBelow) throw new Error("refused");
    return this.start;
  }
  removeWindow(start: bigint): void {
    this.log.push(`remove ${start.toString(16)}`);
  }
  mapDma(iovaHi: number, iovaLo: number, vaddrHi: number, vaddrLo: number, size: number, flags: number): number {
    const iova = (BigInt(iovaHi) << 32n) | BigInt(iovaLo);
    const vaddr = (BigInt(vaddrHi) << 32n) | BigInt(vaddrLo);
    this.log.push(`map ${iova.toString(16)} ${(vaddr - VADDR).toString(16)} ${size} ${flags}`);
    return this.answers.shift() ?? 0;
  }
  unmapDma(iovaHi: number, iovaLo: number, size: number): number {
    this.log.push(`unmap ${((BigInt(iovaHi) << 32n) | BigInt(iovaLo)).toString(16)} ${size}`);
    return this.answers.shift() ?? 0;
  }
}

let tables: TceTables;
let target: NotedTarget;
const counters = newDmaSummary();

function listen(overrides: { pgsizes?: bigint } = {}): void {
  Object.assign(counters, newDmaSummary());
  const dma = new SpaprDma({
    target,
    ram: new GuestMemory(new ArrayBuffer(0x10_0000), 0, 0x10_0000),
    ramAddress: VADDR,
    pgsizes: overrides.pgsizes ?? 0x11000n,
    maxLevels: 5,
    hostPageSize: 0x1_0000,
    counters,
  });
  tables.listen([LIOBN, LIOBN + 1], dma);
}

function store(index: number, lo: number, hi = 0): void {
  tables.store(tables.find(LIOBN)!, index, hi, lo);
}

beforeEach(() => {
  tables = new TceTables();
  target = new NotedTarget();
  tables.add({ liobn: LIOBN, pageShift: 12, busHi: 0, busLo: 0, entries: 256 });
});

describe("vmm passthrough: DMA windows in the container", () => {
  it("creates the host window with the guest's page size when the host has it", () => {
    listen();
    expect(target.log).toEqual(["create 12 1048576 1"]);
    tables.remove(LIOBN);
    expect(target.log.at(-1)).toBe("remove 0");
    expect(counters.windowsCreated).toBe(1);
    expect(counters.windowsRemoved).toBe(1);
  });

  it("takes the largest host page that is no larger than the guest's and the host's own", () => {
    listen();
    target.log.length = 0;
    target.start = 0x0800_0000_0000_0000n;
    tables.add({ liobn: LIOBN + 1, pageShift: 24, busHi: 0x0800_0000, busLo: 0, entries: 32 });
    expect(target.log).toEqual(["create 16 536870912 1"]);
  });

  it("tries more levels after a refusal and gives up at the host's limit", () => {
    target.refuseLevelsBelow = 3;
    listen();
    expect(target.log.map((line) => line.slice(-1))).toEqual(["1", "2", "3"]);
    expect(counters.windowErrors).toBe(0);
    tables.remove(LIOBN);
    target.refuseLevelsBelow = 99;
    tables.add({ liobn: LIOBN, pageShift: 12, busHi: 0, busLo: 0, entries: 256 });
    expect(counters.windowErrors).toBe(1);
  });

  it("undoes a window that the host put elsewhere, and maps nothing into it", () => {
    target.start = 0x0800_0000_0000_0000n;
    listen();
    expect(target.log.at(-1)).toBe("remove 800000000000000");
    store(0, 0x3003);
    expect(counters).toMatchObject({ windowErrors: 1, mapCalls: 0 });
  });

  it("says so when the host has no page that small", () => {
    listen({ pgsizes: 0x10000n });
    expect(counters.windowErrors).toBe(1);
    expect(counters.messages[0]).toContain("no page size");
  });
});

describe("vmm passthrough: TCEs become MAP_DMA and UNMAP_DMA", () => {
  it("maps RAM with READ always and WRITE when asked, and unmaps", () => {
    listen();
    target.log.length = 0;
    store(1, 0x3003);
    store(2, 0x4001);
    store(3, 0x5002);
    store(1, 0);
    expect(target.log).toEqual([
      "map 1000 3000 4096 3",
      "map 2000 4000 4096 1",
      "map 3000 5000 4096 3",
      "unmap 1000 4096",
    ]);
    expect(counters).toMatchObject({ mapCalls: 3, unmapCalls: 1, mapErrors: 0 });
  });

  it("does not ask the host to unmap what was never mapped", () => {
    listen();
    target.log.length = 0;
    store(1, 0);
    store(1, 0xdead000);
    expect(target.log).toEqual([]);
  });

  it("maps nothing for a target outside RAM, and takes an old mapping away", () => {
    listen();
    store(1, 0x3003);
    target.log.length = 0;
    store(1, 0x20_0003);
    store(2, 0x3003, 0xffff_ffff);
    expect(target.log).toEqual(["unmap 1000 4096"]);
    expect(counters.notRam).toBe(2);
  });

  it("retries once after EBUSY, and counts other refusals and the kernel's positive answer", () => {
    listen();
    target.answers = [-EBUSY, 0, 0];
    store(1, 0x3003);
    expect(counters).toMatchObject({ mapCalls: 2, unmapCalls: 1, mapErrors: 0 });
    target.answers = [-ENOSPC];
    store(2, 0x3003);
    target.answers = [1];
    store(3, 0x3003);
    target.answers = [-ENOSPC];
    store(1, 0);
    expect(counters).toMatchObject({ mapErrors: 2, unmapErrors: 1 });
    expect(counters.messages).toHaveLength(3);
  });

  it("replays entries of a window that was there before", () => {
    store(5, 0x6003);
    listen();
    expect(target.log).toEqual(["create 12 1048576 1", "map 5000 6000 4096 3"]);
  });

  it("on a version 1 container makes no windows and unmaps entries one by one", () => {
    listen({ pgsizes: 0n });
    store(1, 0x3003);
    tables.remove(LIOBN);
    expect(target.log).toEqual(["map 1000 3000 4096 3", "unmap 1000 4096"]);
  });
});
