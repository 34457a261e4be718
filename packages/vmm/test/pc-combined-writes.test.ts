// Write-combining on machine pc: what the guest's tables say, which zones KVM gets, and what reaches the device.
import type { CoalescedRing } from "@minivmm/kvm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CombinedWrites } from "../src/machines/pc/combined-writes.ts";
import { GuestMappings, type PagingState } from "../src/machines/pc/guest-mappings.ts";
import { allocateRam, PcRam } from "../src/machines/pc/ram.ts";

const MIB = 0x10_0000;
const BAR = 0xc000_0000;
const LINUX_PAT = 0x0407_0506_0007_0106n;
const [PML4, PDPT, PD, PT] = [0x1000, 0x2000, 0x3000, 0x4000] as const;
/** Linux's index of write-combining is 1 (PWT), of UC- it is 2 (PCD). */
const WC = 0x08;
const UC_MINUS = 0x10;
const PAGE = 4096;

/** The BAR's first pages from linear 0 on, each with its own attribute bits; RAM in a large page at 1 GiB. */
function tables(attributes: readonly number[]): { ram: PcRam; paging: PagingState } {
  const ram = new PcRam(allocateRam(MIB));
  const { low } = ram;
  low.setU64le(PML4, 0, PDPT | 3);
  low.setU64le(PDPT, 0, PD | 3);
  low.setU64le(PDPT + 8, 0, 0x83);
  low.setU64le(PD, 0, PT | 3);
  for (const [page, bits] of attributes.entries()) {
    low.setU64le(PT + page * 8, 0, ((BAR + page * PAGE) | 3 | bits) >>> 0);
  }
  return { ram, paging: { cr3: BigInt(PML4), cr4: 0x20n, pat: LINUX_PAT } };
}

class FakeRing {
  entries: [number, number, number, number][] = [];
  drain(write: (address: number, length: number, lo: number, hi: number, port: boolean) => void): number {
    const taken = this.entries.splice(0);
    for (const [address, length, lo, hi] of taken) write(address, length, lo, hi, false);
    return taken.length;
  }
}

function machine(attributes: readonly number[]) {
  const { ram, paging } = tables(attributes);
  const ring = new FakeRing();
  const zones: string[] = [];
  const bursts: [number, number[]][] = [];
  let waiting = 0;
  const combined = new CombinedWrites({
    vm: {
      registerCoalescedMmio: ({ address, size }) => zones.push(`+${address.toString(16)} ${size / PAGE}`),
      unregisterCoalescedMmio: ({ address, size }) => zones.push(`-${address.toString(16)} ${size / PAGE}`),
    },
    ring: ring as unknown as CoalescedRing,
    ram,
    write: (address, bytes) => bursts.push([address, [...bytes]]),
    paging: () => paging,
    waiting: () => waiting++,
  });
  combined.setRanges([{ start: BAR, end: BAR + 16 * PAGE }]);
  const storeOften = (address: number, times = 8): void => {
    for (let i = 0; i < times; i++) combined.stored(address);
  };
  return { ram, ring, zones, bursts, combined, storeOften, waits: () => waiting };
}

describe("pc: how a guest maps a page", () => {
  it("is found by linear and by physical address, with its memory type", () => {
    const { ram, paging } = tables([WC, UC_MINUS, 0]);
    const mappings = new GuestMappings(ram, paging);
    expect([0n, 0x1000n, 0x2000n, 0x3000n].map((at) => mappings.at(at)?.type)).toEqual(["WC", "UC-", "WB", undefined]);
    expect(mappings.at(0x4012_3456n)).toMatchObject({ physical: 0, size: 2 ** 30, type: "WB", linear: 0x4000_0000n });
    expect(mappings.of(BAR + PAGE, BAR + 2 * PAGE)).toEqual([
      { linear: 0x1000n, physical: BAR + PAGE, size: PAGE, type: "UC-", writable: true },
    ]);
  });

  it("gives up on tables that refer to themselves over and over, and reads no address outside RAM", () => {
    const { ram, paging } = tables([]);
    for (let i = 0; i < 512; i++) ram.low.setU64le(PML4 + i * 8, 0, PML4 | 3);
    expect(new GuestMappings(ram, paging).of(0, PAGE)).toBeUndefined();
    const wild = { ...paging, cr3: 0xf_ffff_ffff_f000n };
    expect(new GuestMappings(ram, wild).of(0, PAGE)).toEqual([]);
    expect(new GuestMappings(ram, wild).at(0n)).toBeUndefined();
  });

  it("whatever the tables hold, nothing throws", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(0x4fff), fc.bigInt(0n, 2n ** 64n - 1n)), { maxLength: 64 }), (words) => {
        const { ram, paging } = tables([WC]);
        for (const [at, value] of words) {
          ram.low.setU64le(at & ~7, Number(value >> 32n), Number(value & 0xffff_ffffn));
        }
        const mappings = new GuestMappings(ram, paging);
        mappings.of(BAR, BAR + PAGE);
        mappings.at(0n);
      }),
      { numRuns: 30 },
    );
  });
});

describe("pc: write-combining", () => {
  it("begins after some stores to pages that are mapped so, and only there", () => {
    const { zones, combined, storeOften, waits } = machine([UC_MINUS, WC, WC, WC, UC_MINUS, WC]);
    storeOften(BAR + 2 * PAGE + 8, 7);
    expect(zones).toEqual([]);
    combined.stored(BAR + 2 * PAGE + 8);
    expect(zones).toEqual([`+${(BAR + PAGE).toString(16)} 3`]);
    expect(combined.active).toBe(true);
    expect(waits()).toBe(1);
    storeOften(BAR, 100);
    expect(zones).toHaveLength(1);
  });

  it("does not begin where one of several mappings is of another type", () => {
    const { ram, zones, storeOften } = machine([WC]);
    // Linear 0x1000 shows the same page uncached.
    ram.low.setU64le(PT + 8, 0, (BAR | 3 | UC_MINUS) >>> 0);
    storeOften(BAR, 20);
    expect(zones).toEqual([]);
  });

  it("makes bursts of neighbouring stores, cut at lines, in their order", () => {
    const { ring, bursts, combined, storeOften } = machine([WC]);
    storeOften(BAR);
    for (let at = 0; at < 128; at += 8) ring.entries.push([BAR + at, 8, at, 0x100 + at]);
    ring.entries.push([BAR + 0x200, 4, 0xaabbccdd, 0], [BAR + 0x204, 2, 0x1122, 0], [BAR + 0x200, 1, 9, 0]);
    combined.drain();
    expect(bursts.map(([address, bytes]) => [address - BAR, bytes.length])).toEqual([
      [0, 64],
      [64, 64],
      [0x200, 6],
      [0x200, 1],
    ]);
    expect(bursts[2]![1]).toEqual([0xdd, 0xcc, 0xbb, 0xaa, 0x22, 0x11]);
    expect(combined.counters).toEqual({ stores: 19, bursts: 4, bytes: 135 });
  });

  it("ends when the guest maps the page otherwise, with what waited delivered first", () => {
    const { ram, ring, zones, bursts, combined, storeOften } = machine([WC]);
    storeOften(BAR);
    combined.tick();
    expect(zones).toHaveLength(1);
    ram.low.setU64le(PT, 0, (BAR | 3 | UC_MINUS) >>> 0);
    ring.entries.push([BAR, 8, 1, 2]);
    combined.tick();
    expect(bursts).toHaveLength(1);
    expect(zones[1]).toBe(`-${BAR.toString(16)} 1`);
    expect(combined.active).toBe(false);
  });

  it("ends when the BAR moves or the machine does", () => {
    const moved = machine([WC, WC]);
    moved.storeOften(BAR);
    moved.combined.setRanges([]);
    expect(moved.zones[1]).toBe(`-${BAR.toString(16)} 2`);
    const closed = machine([WC]);
    closed.storeOften(BAR);
    closed.combined.close();
    expect(closed.zones).toHaveLength(2);
  });

  it("delivers every byte once, last store last, whatever is stored where", () => {
    const stores = fc.array(fc.tuple(fc.nat(511), fc.constantFrom(1, 2, 4, 8), fc.nat(), fc.nat()), { maxLength: 80 });
    fc.assert(
      fc.property(stores, (list) => {
        const { ring, bursts, combined, storeOften } = machine([WC]);
        storeOften(BAR);
        const expected = new Uint8Array(520);
        const seen = new Uint8Array(520);
        for (const [at, length, lo, hi] of list) {
          ring.entries.push([BAR + at, length, lo, hi]);
          for (let i = 0; i < length; i++) expected[at + i] = (i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4))) & 0xff;
        }
        combined.drain();
        for (const [address, bytes] of bursts) {
          expect(Math.floor(address / 64)).toBe(Math.floor((address + bytes.length - 1) / 64));
          seen.set(bytes, address - BAR);
        }
        expect(seen).toEqual(expected);
      }),
    );
  });
});
