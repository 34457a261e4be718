import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { Xics } from "../src/machines/pseries/xics.ts";

const EDGE = 0x1300;
const OTHER = 0x1301;
const LEVEL = 0x1200;

let xics: Xics;
let line: boolean;
beforeEach(() => {
  xics = new Xics();
  line = false;
  xics.onLine = (level) => {
    line = level;
  };
  xics.claim(EDGE, "edge", "edge");
  xics.claim(OTHER, "edge", "other");
  xics.claim(LEVEL, "level", "level");
  xics.setCppr(0xff);
});

describe("vmm pseries: XICS", () => {
  it("presents an edge, is accepted and ended", () => {
    xics.route(EDGE, 0, 5);
    xics.pulse(EDGE);
    expect(line).toBe(true);
    expect(xics.poll()).toBe(0xff001300);
    expect(xics.accept()).toBe(0xff001300);
    expect(line).toBe(false);
    xics.endOfInterrupt(0xff001300);
    expect(xics.accept()).toBe(0xff000000);
    expect(xics.delivered()).toEqual({ edge: 1 });
  });

  it("holds back what is not more favoured than the CPU's priority, and presents it at the end of interrupt", () => {
    xics.route(EDGE, 0, 5);
    xics.route(OTHER, 0, 5);
    xics.pulse(EDGE);
    const xirr = xics.accept();
    xics.pulse(OTHER);
    expect(line).toBe(false);
    xics.endOfInterrupt(xirr);
    expect(line).toBe(true);
    expect(xics.accept() & 0xffffff).toBe(OTHER);
  });

  it("lets a more favoured source displace a waiting one, and brings that one back", () => {
    xics.route(EDGE, 0, 6);
    xics.route(OTHER, 0, 4);
    xics.pulse(EDGE);
    xics.pulse(OTHER);
    const xirr = xics.accept();
    expect(xirr & 0xffffff).toBe(OTHER);
    xics.endOfInterrupt(xirr);
    expect(xics.accept() & 0xffffff).toBe(EDGE);
  });

  it("keeps one event of an edge source that is off", () => {
    xics.pulse(EDGE);
    expect(line).toBe(false);
    xics.route(EDGE, 0, 5);
    expect(line).toBe(true);
  });

  it("restores the priority with int-on", () => {
    xics.route(EDGE, 0, 5);
    xics.mask(EDGE);
    expect(xics.priorityOf(EDGE)).toBe(0xff);
    xics.pulse(EDGE);
    expect(line).toBe(false);
    xics.unmask(EDGE);
    expect(xics.priorityOf(EDGE)).toBe(5);
    expect(line).toBe(true);
  });

  it("presents a level again after its end while the line is high, and not after it fell", () => {
    xics.route(LEVEL, 0, 5);
    xics.setLevel(LEVEL, true);
    let xirr = xics.accept();
    xics.endOfInterrupt(xirr);
    expect(line).toBe(true);
    xirr = xics.accept();
    xics.setLevel(LEVEL, false);
    xics.endOfInterrupt(xirr);
    expect(line).toBe(false);
  });

  it("takes a presented interrupt back when CPPR rises above it, and presents it when CPPR falls", () => {
    xics.route(EDGE, 0, 5);
    xics.pulse(EDGE);
    xics.setCppr(3);
    expect(line).toBe(false);
    xics.setCppr(0xff);
    expect(line).toBe(true);
  });

  it("raises the inter-processor interrupt by MFRR", () => {
    xics.setMfrr(4);
    const xirr = xics.accept();
    expect(xirr & 0xffffff).toBe(2);
    xics.setMfrr(0xff);
    xics.endOfInterrupt(xirr);
    expect(line).toBe(false);
    expect(xics.mostFavoured).toBe(0xff);
  });

  it("ignores sources that were not claimed", () => {
    xics.pulse(0x1400);
    xics.setLevel(0x1400, true);
    xics.route(5, 0, 1);
    expect(line).toBe(false);
    expect(xics.valid(0x1400)).toBe(false);
    xics.release(EDGE);
    expect(xics.valid(EDGE)).toBe(false);
  });

  it("loses no edge: every source pulsed since its last acceptance is accepted in the end", () => {
    type Step = ["pulse" | "mask" | "unmask", number] | ["accept"] | ["eoi"] | ["cppr", number];
    const irqs = [EDGE, OTHER, 0x1302, 0x1303];
    const step: fc.Arbitrary<Step> = fc.oneof(
      fc.tuple(fc.constantFrom("pulse" as const, "mask" as const, "unmask" as const), fc.nat(3)),
      fc.constant<Step>(["accept"]),
      fc.constant<Step>(["eoi"]),
      fc.tuple(fc.constant("cppr" as const), fc.nat(255)),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 4 }),
        (steps, priorities) => {
          const x = new Xics();
          let high = false;
          x.onLine = (level) => {
            high = level;
          };
          irqs.forEach((irq, i) => {
            x.claim(irq, "edge", String(irq));
            x.route(irq, 0, priorities[i]!);
          });
          x.setCppr(0xff);
          const owed = new Set<number>();
          const nested: number[] = [];
          const accept = (): void => {
            const xirr = x.accept();
            if ((xirr & 0xffffff) === 0) return;
            owed.delete(xirr & 0xffffff);
            nested.push(xirr);
          };
          for (const [what, n] of steps) {
            if (what === "pulse") {
              owed.add(irqs[n!]!);
              x.pulse(irqs[n!]!);
            } else if (what === "mask") x.mask(irqs[n!]!);
            else if (what === "unmask" && x.priorityOf(irqs[n!]!) === 0xff) x.unmask(irqs[n!]!);
            else if (what === "cppr" && nested.length === 0) x.setCppr(n!);
            else if (what === "accept") accept();
            else if (what === "eoi" && nested.length > 0) x.endOfInterrupt(nested.pop()!);
            expect(high).toBe((x.poll() & 0xffffff) !== 0);
          }
          while (nested.length > 0) x.endOfInterrupt(nested.pop()!);
          irqs.forEach((irq, i) => {
            x.route(irq, 0, priorities[i]!);
          });
          x.setCppr(0xff);
          for (let i = 0; i < 20; i++) {
            accept();
            while (nested.length > 0) x.endOfInterrupt(nested.pop()!);
          }
          expect([...owed]).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
