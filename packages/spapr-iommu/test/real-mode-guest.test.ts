// Real mode under a running guest: its hypercalls are answered without leaving the CPU, its lists are read from its RAM.

import { H_GET_TCE, H_PARAMETER, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE } from "@minivmm/kvm";
import { r3, r4, r5, r6, r7, r8, r9 } from "@minivmm/ppc64/asm";
import { describe, expect, it } from "vitest";
import { ask, guestRig } from "./guest-rig.ts";
import { LIOBN, MEMORY } from "./kvm-rig.ts";

const LIST = 0x1_0000;

function ready(options: Parameters<typeof guestRig>[0] = {}) {
  const made = guestRig(options);
  // Pages and levels, which virtual mode makes.
  made.call(H_PUT_TCE, LIOBN, 0, 0x2_0003);
  const before = made.counters().stages;
  /** Calls answered since, by stage. */
  const since = () => {
    const { stages } = made.counters();
    const sum = (stage: "real" | "virtual") =>
      Object.values(stages[stage]).reduce((all, { success, parameter }) => all + success + parameter, 0) -
      Object.values(before[stage]).reduce((all, { success, parameter }) => all + success + parameter, 0);
    return [sum("real"), sum("virtual")];
  };
  return { ...made, since };
}

describe("spapr-iommu real mode: a guest", () => {
  it("maps and unmaps pages in a loop, and never leaves the CPU", () => {
    const { run, since, hardware, window, answered } = ready();
    const exits = run((a) => {
      a.li64(r9, 1000);
      a.mtctr(r9);
      a.li64(r8, 0x1000);
      a.label("again");
      ask(a, H_PUT_TCE, 0, 0);
      for (const tce of [3, 0, 3]) {
        a.li(r3, H_PUT_TCE);
        a.mr(r5, r8);
        a.addi(r6, r8, tce);
        a.sc(1);
      }
      a.addi(r8, r8, 0x1000);
      a.bdnz("again");
    });
    expect([exits, ...since()]).toEqual([0, 4000, 0]);
    expect([...answered()]).toEqual([
      [H_PUT_TCE, 4000],
      [H_PUT_TCE_INDIRECT, 0],
      [H_STUFF_TCE, 0],
      [H_GET_TCE, 0],
    ]);
    expect(hardware().live).toBe(1000);
    expect([window.entry(0), window.entry(1), window.entry(1000)]).toEqual([0n, 0x1003n, 0x3e_8003n]);
  });

  it("has its lists read where they are now", () => {
    const { run, since, list, window, cpu } = ready();
    list(LIST, [0x3_0003, 0x4_0003]);
    const exits = run((a) => {
      ask(a, H_PUT_TCE_INDIRECT, 0x1000, LIST, 2);
      // The first entry again, with other contents that the guest has just written: big-endian 0x50003.
      a.li64(r8, 0x0300_0500_0000_0000n);
      a.li64(r9, LIST);
      a.std(r8, 0, r9);
      ask(a, H_PUT_TCE_INDIRECT, 0x3000, LIST, 1);
      ask(a, H_GET_TCE, 0x3000);
      a.mr(r8, r4);
    });
    expect([exits, ...since()]).toEqual([0, 3, 0]);
    expect([1, 2, 3].map((i) => window.entry(i))).toEqual([0x3_0003n, 0x4_0003n, 0x5_0003n]);
    expect(cpu.gpr64[8]).toBe(0x5_0003n);
  });

  it("gets answers in r3, sign-extended, and keeps its other registers", () => {
    const { run, cpu, exits } = { ...ready(), exits: 0 };
    expect(
      run((a) => {
        a.li64(r8, -1n);
        ask(a, H_PUT_TCE, 0x800, 3, 77);
        a.mr(r9, r3);
      }),
    ).toBe(exits);
    expect(BigInt.asIntN(64, cpu.gpr64[9] as bigint)).toBe(BigInt(H_PARAMETER));
    expect([4, 5, 6, 7, 8].map((n) => cpu.gpr64[n])).toEqual([BigInt(LIOBN), 0x800n, 3n, 77n, (1n << 64n) - 1n]);
  });

  it("leaves for what is too hard, with its registers as they were, and comes back to compiled code", () => {
    const { run, since, window } = ready();
    // The first of the two makes a page and a level.
    const exits = run((a) => {
      ask(a, H_PUT_TCE, 0x1000_0000, 0x2_0003);
      ask(a, H_PUT_TCE, 0x1000_1000, 0x3_0003);
    });
    expect([exits, ...since()]).toEqual([1, 1, 1]);
    expect([0x1_0000, 0x1_0001].map((i) => window.entry(i))).toEqual([0x2_0003n, 0x3_0003n]);
  });

  it("has lists outside of the RAM in place read by virtual mode", () => {
    const { run, since, list, window, cpu } = ready();
    list(MEMORY / 2, [0x3_0003]);
    cpu.setRamLimit(MEMORY / 2);
    expect(run((a) => ask(a, H_PUT_TCE_INDIRECT, 0x1000, MEMORY / 2, 1))).toBe(1);
    expect(since()).toEqual([0, 1]);
    expect(window.entry(1)).toBe(0x3_0003n);
  });

  it("clears ranges, of any size", () => {
    const { run, since, hardware, list } = ready();
    list(
      LIST,
      Array.from({ length: 512 }, (_, i) => (i << 12) | 3),
    );
    const exits = run((a) => {
      ask(a, H_PUT_TCE_INDIRECT, 0, LIST, 512);
      ask(a, H_STUFF_TCE, 0x1000, 0, 511);
      ask(a, H_STUFF_TCE, 0, 0, 0x4_0000);
      a.mr(r7, r3);
    });
    expect([exits, ...since(), hardware().live]).toEqual([0, 3, 0, 0]);
  });
});
