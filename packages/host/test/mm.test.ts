import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EEXIST, EINVAL, ENOMEM, MAP_FIXED, PROT_NONE, PROT_READ, PROT_WRITE } from "../src/index.ts";
import { AddressSpace, MAP_HUGETLB, ModelKernel, PhysicalMemory } from "../src/model/index.ts";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;
const BASE = 0x4000_0000;
const PAGES = 12;

function space(): { mm: AddressSpace; physical: PhysicalMemory } {
  const physical = new PhysicalMemory();
  return { mm: new AddressSpace({ pageSize: PAGE, physical }), physical };
}

describe("host model: address space", () => {
  // The model is a page table: for each page of a window its protection, its buffer's serial number and page number.
  const page = fc.integer({ min: 0, max: PAGES - 1 });
  const span = fc.tuple(page, fc.integer({ min: 1, max: 4 }));
  const prot = fc.constantFrom(PROT_NONE, PROT_READ, RW);
  const step = fc.oneof(
    fc.record({ op: fc.constant("map" as const), span, prot }),
    fc.record({ op: fc.constant("unmap" as const), span, prot }),
    fc.record({ op: fc.constant("protect" as const), span, prot }),
  );

  test("host mm: map, unmap and protect behave as a table of pages", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const { mm, physical } = space();
        const table: ({ prot: number; mark: number; part: number } | undefined)[] = Array(PAGES + 4).fill(undefined);
        let mark = 0;
        for (const {
          op,
          span: [first, count],
          prot: wanted,
        } of steps) {
          const at = BASE + first * PAGE;
          if (op === "map") {
            mark++;
            expect(mm.mapAnonymous({ length: count * PAGE, prot: RW, flags: MAP_FIXED, address: at })).toBe(at);
            for (let i = 0; i < count; i++) {
              expect(mm.write(at + i * PAGE, Uint8Array.of(mark, i))).toBe(true);
              table[first + i] = { prot: wanted, mark, part: i };
            }
            expect(mm.mprotect(at, count * PAGE, wanted)).toBe(0);
          } else if (op === "unmap") {
            expect(mm.munmap(at, count * PAGE)).toBe(0);
            table.fill(undefined, first, first + count);
          } else {
            const hole = table.slice(first, first + count).some((p) => p === undefined);
            expect(mm.mprotect(at, count * PAGE, wanted)).toBe(hole ? -ENOMEM : 0);
            if (!hole) for (let i = 0; i < count; i++) table[first + i] = { ...table[first + i]!, prot: wanted };
          }
        }
        for (let i = 0; i < table.length; i++) {
          const expected = table[i];
          const at = BASE + i * PAGE;
          const readable = expected !== undefined && expected.prot !== PROT_NONE;
          const bytes = mm.resolve(at, 2);
          expect(bytes ? [...bytes] : null).toEqual(readable ? [expected.mark, expected.part] : null);
          expect(mm.resolve(at + PAGE - 1, 1, { write: true }) !== null).toBe(expected?.prot === RW);
          const hpa = mm.virtToPhys(at + 1);
          expect(hpa >= 0).toBe(readable);
          if (readable) expect(physical.resolve(hpa, 1)?.[0]).toBe(expected.part);
          // Contiguous bytes only within one buffer; read() crosses.
          const next = table[i + 1];
          const both = readable && next !== undefined && next.prot !== PROT_NONE;
          const oneBuffer = both && next.mark === expected.mark && next.part === expected.part + 1;
          expect(mm.resolve(at + PAGE - 1, 2) !== null).toBe(oneBuffer);
          expect(mm.read(at + PAGE - 1, new Uint8Array(2))).toBe(both);
        }
        const areas = mm.areas;
        for (let i = 1; i < areas.length; i++) expect(areas[i]!.start >= areas[i - 1]!.end).toBe(true);
      }),
    );
  });

  test("host mm: writes across a read-only page write nothing", () => {
    const { mm } = space();
    const at = mm.mapAnonymous({ length: 2 * PAGE, prot: RW });
    mm.mprotect(at + PAGE, PAGE, PROT_READ);
    expect(mm.write(at + PAGE - 1, Uint8Array.of(1, 2))).toBe(false);
    expect(mm.resolve(at + PAGE - 1, 1)?.[0]).toBe(0);
  });

  test("host mm: addresses beyond user space, negative and fractional lengths are refused", () => {
    const { mm } = space();
    const at = mm.mapAnonymous({ length: PAGE, prot: RW });
    expect(mm.resolve(2n ** 64n - 1n, 1)).toBeNull();
    expect(mm.resolve(at, -1)).toBeNull();
    expect(mm.resolve(at, PAGE + 1)).toBeNull();
    expect(mm.resolve(at, 0)?.length).toBe(0);
    expect([mm.munmap(at + 1, PAGE), mm.munmap(at, 0), mm.munmap(2 ** 47, PAGE), mm.munmap(-PAGE, PAGE)]).toEqual(
      Array(4).fill(-EINVAL),
    );
    expect([mm.mprotect(at + 1, PAGE, RW), mm.mprotect(at, 0, RW), mm.mprotect(at, 2 * PAGE, RW)]).toEqual([
      -EINVAL,
      0,
      -ENOMEM,
    ]);
    expect([mm.mapAnonymous({ length: 0, prot: RW }), mm.mapAnonymous({ length: 2 ** 50, prot: RW })]).toEqual([
      -EINVAL,
      -ENOMEM,
    ]);
    expect(mm.mapAnonymous({ length: PAGE, prot: RW, flags: MAP_FIXED, address: 1 })).toBe(-EINVAL);
    expect(mm.mapAnonymous({ length: PAGE, prot: RW, flags: MAP_FIXED, address: 0 })).toBe(-ENOMEM);
    expect(mm.mapAnonymous({ length: PAGE, prot: RW, flags: 0x100000, address: at })).toBe(-EEXIST);
  });

  test("host mm: new areas go top down, below each other, and into the highest gap", () => {
    const { mm } = space();
    const [a, b, c] = [1, 2, 3].map((n) => mm.mapAnonymous({ length: n * PAGE, prot: RW })) as [number, number, number];
    expect([a - b, b - c]).toEqual([2 * PAGE, 3 * PAGE]);
    mm.munmap(b, 2 * PAGE);
    expect(mm.mapAnonymous({ length: 3 * PAGE, prot: RW })).toBe(c - 3 * PAGE);
    expect(mm.mapAnonymous({ length: PAGE, prot: RW })).toBe(b + PAGE);
    expect(mm.mapAnonymous({ length: PAGE, prot: RW, address: 0x1234_5000 })).toBe(0x1234_5000);
    expect(mm.mapAnonymous({ length: PAGE, prot: RW, address: 0x1234_5000 })).toBe(b);
  });

  test("host mm: huge pages are aligned and known to be huge", () => {
    const { mm } = space();
    const at = mm.mapAnonymous({ length: PAGE, prot: RW, flags: MAP_HUGETLB });
    expect([at % 0x20_0000, mm.areaAt(at)?.pageSize, mm.virtToPhys(at) % 0x20_0000]).toEqual([0, 0x20_0000, 0]);
    expect(mm.resolve(at, 0x20_0000)?.length).toBe(0x20_0000);
  });

  test("host mm: a buffer has one page-aligned address that survives holes", () => {
    const process = new ModelKernel().spawn();
    const buffer = new SharedArrayBuffer(3 * PAGE);
    const at = process.addressOf(new Uint8Array(buffer));
    expect(at % BigInt(PAGE)).toBe(0n);
    expect(process.addressOf(new Uint8Array(buffer, 100))).toBe(at + 100n);
    process.mm.munmap(Number(at), PAGE);
    expect(process.addressOf(new Uint8Array(buffer))).toBe(at);
    expect(process.mm.resolve(at, 1)).toBeNull();
    process.mm.munmap(Number(at), 3 * PAGE);
    process.mm.mapAnonymous({ length: 3 * PAGE, prot: RW, flags: MAP_FIXED, address: Number(at) });
    const anew = process.addressOf(new Uint8Array(buffer));
    expect(anew).not.toBe(at);
    expect(process.mm.resolve(anew, 3 * PAGE)?.buffer).toBe(buffer);
  });

  test("host mm: bytes of the last page behind a buffer's end do not exist", () => {
    const process = new ModelKernel().spawn();
    const at = process.addressOf(new Uint8Array(100));
    expect(process.mm.resolve(at, 100)?.length).toBe(100);
    expect(process.mm.resolve(at, 101)).toBeNull();
    expect(process.mm.virtToPhys(Number(at) + 200)).toBeGreaterThan(0);
    expect(process.kernel.physical.resolve(process.mm.virtToPhys(Number(at)), 101)).toBeNull();
  });

  test("host mm: a growing buffer keeps its addresses", () => {
    const kernel = new ModelKernel();
    const process = kernel.spawn();
    const Growable = SharedArrayBuffer as unknown as new (
      length: number,
      options: { maxByteLength: number },
    ) => SharedArrayBuffer & {
      grow(length: number): void;
    };
    const buffer = new Growable(PAGE, { maxByteLength: 4 * PAGE });
    const at = process.addressOf(new Uint8Array(buffer));
    expect(process.mm.resolve(at + BigInt(PAGE), 1)).toBeNull();
    buffer.grow(2 * PAGE);
    expect(process.addressOf(new Uint8Array(buffer))).toBe(at);
    const second = process.mm.resolve(at + BigInt(PAGE), 1);
    second!.fill(5);
    expect(kernel.physical.resolve(process.mm.virtToPhys(Number(at) + PAGE), 1)?.[0]).toBe(5);
  });

  test("host mm: locked pages count against RLIMIT_MEMLOCK unless CAP_IPC_LOCK", () => {
    const kernel = new ModelKernel();
    const { mm } = kernel.spawn({ memlock: 4 * PAGE });
    expect([mm.account(3), mm.account(2), mm.account(1), mm.account(0), mm.account(1)]).toEqual([
      0,
      -ENOMEM,
      0,
      0,
      -ENOMEM,
    ]);
    expect([mm.account(-4), mm.lockedPages]).toEqual([0, 0]);
    const able = kernel.spawn({ memlock: 0, capabilities: ["CAP_IPC_LOCK"] });
    expect([able.mm.account(1000), able.mm.lockedPages]).toEqual([0, 1000]);
    expect([able.has("IPC_LOCK"), able.has("CAP_IPC_LOCK"), able.has("SYS_RAWIO")]).toEqual([true, true, false]);
  });

  test("host mm: pages stay reachable for devices after munmap, until the process exits", () => {
    const kernel = new ModelKernel();
    const process = kernel.spawn();
    const memory = new Uint8Array(PAGE).fill(3);
    const at = Number(process.addressOf(memory));
    const hpa = process.mm.virtToPhys(at);
    process.mm.munmap(at, PAGE);
    expect(process.mm.virtToPhys(at)).toBe(-1);
    expect(kernel.physical.resolve(hpa, 1)?.[0]).toBe(3);
    process.exit();
    expect(kernel.physical.resolve(hpa, 1)).toBeNull();
  });
});

describe("host model: physical memory", () => {
  test("host physical memory: copies stay inside one range and say no otherwise", () => {
    const physical = new PhysicalMemory();
    const buffers = [100, 0x10000, 0x20_0000].map((n) => new ArrayBuffer(n));
    const bases = buffers.map((b) => physical.adopt(b));
    expect(new Set(bases).size).toBe(3);
    expect(bases[2]! % 0x20_0000).toBe(0);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 }),
        fc.nat(0xffff),
        fc.uint8Array({ maxLength: 200 }),
        (which, offset, data) => {
          const inside = offset + data.length <= buffers[which]!.byteLength;
          const hpa = bases[which]! + offset;
          expect(physical.write(hpa, data)).toBe(inside);
          const back = new Uint8Array(data.length).fill(0xaa);
          expect(physical.read(hpa, back)).toBe(inside);
          expect([...back]).toEqual(inside ? [...data] : Array(data.length).fill(0xaa));
          if (inside) expect([...new Uint8Array(buffers[which]!, offset, data.length)]).toEqual([...data]);
          expect(physical.resolve(hpa, data.length) !== null).toBe(inside);
        },
      ),
    );
    expect([physical.resolve(0, 1), physical.resolve(2 ** 52, 1), physical.resolve(bases[0]!, -1)]).toEqual([
      null,
      null,
      null,
    ]);
  });

  test("host physical memory: a range lives until its last release", () => {
    const physical = new PhysicalMemory();
    const buffer = new ArrayBuffer(64);
    const base = physical.adopt(buffer);
    expect(physical.adopt(buffer)).toBe(base);
    physical.release(buffer);
    expect(physical.resolve(base, 1)).not.toBeNull();
    physical.release(buffer);
    expect(physical.resolve(base, 1)).toBeNull();
    physical.release(buffer);
    expect(physical.adopt(buffer)).not.toBe(base);
  });
});
