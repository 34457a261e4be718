// What the engine tells of data caches: pages that are stored to, blocks that are flushed, syncs, and single accesses where they
// matter; and that telling changes nothing for the guest.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Assembler, r3, r4, r5, r6, r7, r8 } from "../src/asm/index.ts";
import type { CacheWatch } from "../src/index.ts";
import { Guest, KERNEL_BASE, PRIVILEGED, Pte, READ, VIRTUAL, virtualGuest, WRITE } from "./support/guest.ts";

const CODE = 0x10000;
const DATA = 0x20000;
const VECTOR_DATA_STORAGE = 0x300;
const TOLERANT = 0x30n;

/** Everything that is told, in words; pages in `single` are to be told access by access. */
class Log implements CacheWatch {
  readonly said: string[] = [];
  readonly single = new Set<number>();

  using(page: number, write: boolean): void {
    this.said.push(`${write ? "storing" : "loading"} ${page.toString(16)}`);
  }

  watches(page: number): boolean {
    return this.single.has(page);
  }

  accessed(address: number, bytes: number, write: boolean, how: { cached: boolean; whole: boolean }): void {
    const kind = `${how.cached ? "" : "inhibited "}${how.whole ? "whole " : ""}${write ? "store" : "load"}`;
    this.said.push(`${kind} ${address.toString(16)}+${bytes}`);
  }

  flushed(block: number, invalidates: boolean): void {
    this.said.push(`${invalidates ? "dcbf" : "dcbst"} ${block.toString(16)}`);
  }

  synced(): void {
    this.said.push("sync");
  }

  take(): string[] {
    return this.said.splice(0);
  }
}

/** A real-mode guest that has run the code, with r4 = DATA. */
function ran(write: (a: Assembler) => void, log = new Log()): { log: Log; guest: Guest } {
  const guest = new Guest({ cacheWatch: log });
  guest.code(CODE, (a) => {
    write(a);
    a.sc(1);
  });
  guest.set(4, BigInt(DATA));
  guest.start(CODE);
  guest.stop();
  return { log, guest };
}

describe("ppc64 engine: a watched cache", () => {
  it("tells a page once before it is used, and again when translations are forgotten", () => {
    const { log, guest } = ran((a) => {
      a.ld(r3, 0, r4);
      a.std(r3, 0, r4);
      a.std(r3, 8, r4);
      a.stb(r3, 0x1000, r4);
    });
    expect(log.take()).toEqual(["loading 20", "storing 20", "storing 21"]);
    guest.start(CODE);
    guest.stop();
    expect(log.take()).toEqual([]);
    guest.cpu.forgetTranslations();
    guest.start(CODE);
    guest.stop();
    expect(log.take()).toEqual(["loading 20", "storing 20", "storing 21"]);
  });

  it("tells flushes of blocks and the syncs that wait for them", () => {
    const { log } = ran((a) => {
      a.li(r5, 0x90);
      a.dcbst(r4, r5);
      a.dcbf(r4, r5);
      a.dcbf(0, r4);
      a.dcbf(r4, r5, 1);
      a.dcbf(r4, r5, 3);
      a.lwsync();
      a.hwsync();
      a.ptesync();
      a.eieio();
      a.isync();
    });
    expect(log.take()).toEqual(["dcbst 20080", "dcbf 20080", "dcbf 20000", "sync", "sync"]);
  });

  it("adds 64 bits, and passes over an address that leads nowhere", () => {
    const log = new Log();
    const virtual = virtualGuest({ cacheWatch: log }).guest;
    virtual.handler(0x4000 + VECTOR_DATA_STORAGE);
    virtual.code(CODE, (a) => {
      a.li(r6, -0x80);
      a.dcbf(r5, r6);
      a.dcbf(r7, r6);
      a.sc(1);
    });
    virtual.set(5, KERNEL_BASE + BigInt(DATA) + 0x80n);
    virtual.set(7, 0x1234_5678_0000n);
    virtual.start(KERNEL_BASE + BigInt(CODE), VIRTUAL);
    expect(virtual.stop()).toBe(KERNEL_BASE + BigInt(CODE + 12));
    expect(log.take()).toEqual(["dcbf 20000"]);
  });

  it("tells every access to a page that is watched, atomics and blocks before they are made", () => {
    const log = new Log();
    log.single.add(DATA >> 12);
    ran((a) => {
      a.li(r3, 5);
      a.stw(r3, 4, r4);
      a.lhz(r5, 6, r4);
      a.std(r3, 0x1000, r4);
      a.li(r6, 8);
      a.ldarx(r5, r4, r6);
      a.stdcx_(r5, r4, r6);
      a.dcbz(0, r4);
      a.ld(r5, 0xffc, r4);
      a.std(r5, 0xffc, r4);
    }, log);
    expect(log.take()).toEqual([
      "storing 20",
      "store 20004+4",
      "loading 20",
      "load 20006+2",
      "storing 21",
      "loading 20",
      "whole load 20008+8",
      "storing 20",
      "whole store 20008+8",
      "storing 20",
      "whole store 20000+128",
      "loading 21",
      "loading 20",
      "load 20ffc+4",
      "storing 21",
      "storing 20",
      "store 20ffc+4",
    ]);
  });

  it("tells accesses through caching-inhibited mappings, and no page for them", () => {
    for (const attribute of [Pte.io, TOLERANT]) {
      const log = new Log();
      const { guest, kernel } = virtualGuest({ cacheWatch: log });
      const window = KERNEL_BASE + 0x1000_0000n;
      guest.map(kernel, window, DATA, PRIVILEGED | READ | WRITE | attribute, 12);
      guest.code(CODE, (a) => {
        a.std(r3, 8, r5);
        a.std(r3, 16, r5);
        a.lwz(r6, 12, r5);
        a.std(r3, 0, r7);
        a.sc(1);
      });
      guest.set(3, 0x1122_3344_5566_7788n);
      guest.set(5, window);
      guest.set(7, KERNEL_BASE + BigInt(DATA));
      guest.start(KERNEL_BASE + BigInt(CODE), VIRTUAL);
      guest.stop();
      expect(log.take()).toEqual([
        "inhibited store 20008+8",
        "inhibited store 20010+8",
        "inhibited load 2000c+4",
        "storing 20",
      ]);
      expect(guest.get(6)).toBe(0x1122_3344n);
    }
  });

  it("whatever is watched, the guest computes the same in the same time", () => {
    const steps: ((a: Assembler) => void)[] = [
      (a) => a.std(r3, 0, r4),
      (a) => a.ld(r3, 0x7f8, r4),
      (a) => a.addi(r3, r3, 0x111),
      (a) => a.stw(r3, 0xffe, r4),
      (a) => a.lwz(r5, 0xffd, r4),
      (a) => a.dcbz(r4, r8),
      (a) => a.dcbf(0, r4),
      (a) => a.dcbst(r4, r8),
      (a) => a.hwsync(),
      (a) => a.lwsync(),
      (a) => a.add(r3, r3, r5),
    ];
    const program = fc.array(fc.integer({ min: 0, max: steps.length - 1 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(program, fc.subarray([0x20, 0x21]), (order, pages) => {
        const log = new Log();
        for (const page of pages) log.single.add(page);
        const guests = [new Guest(), new Guest({ cacheWatch: log })];
        for (const guest of guests) {
          guest.code(CODE, (a) => {
            for (const step of order) steps[step]?.(a);
            a.sc(1);
          });
          guest.set(3, 0x0102_0304_0506_0708n);
          guest.set(4, BigInt(DATA));
          guest.set(8, 0x780n);
          guest.start(CODE);
          guest.stop();
        }
        const [plain, watched] = guests as [Guest, Guest];
        expect([3, 5].map((n) => watched.get(n))).toEqual([3, 5].map((n) => plain.get(n)));
        expect(watched.cpu.retired).toBe(plain.cpu.retired);
        const bytes = ({ ram }: Guest) => new Uint8Array(ram.buffer, ram.byteOffset + DATA, 0x2000);
        expect(Buffer.compare(bytes(watched), bytes(plain))).toBe(0);
      }),
      { numRuns: 40 },
    );
  });
});
