// Real mode: what becomes of each kind of call in it, and in virtual mode behind it, on 4.12 and on later kernels.
import { PROT_NONE } from "@minivmm/host";
import { H_CLOSED, H_PARAMETER, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_SUCCESS } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import { describe, expect, it } from "vitest";
import { arenaLayout } from "../src/model/index.ts";
import { GIB, LIOBN, MEMORY } from "./kvm-rig.ts";
import { linked, secondContainer } from "./real-rig.ts";

const { REGION } = arenaLayout;
const LIST = 0x1_0000;
const TCE = 0x2_0003;

/** What becomes of one call in each stage; the guest sees the last. */
const ROWS: readonly [string, (made: ReturnType<typeof linked>) => number, number, object][] = [
  ["an unknown LIOBN", ({ call }) => call(H_PUT_TCE, LIOBN + 1, 0, 0), H_TOO_HARD, { why: { noTable: 2 } }],
  [
    "a LIOBN that differs above 32 bits",
    ({ call }) => call(H_PUT_TCE, (1n << 32n) | BigInt(LIOBN), 0, 0),
    H_TOO_HARD,
    {},
  ],
  ["a misaligned bus address", ({ put }) => put(0x800, TCE), H_PARAMETER, { real: { parameter: 1 }, virtual: {} }],
  ["a bus address behind the end", ({ put }) => put(GIB, TCE), H_PARAMETER, { real: { parameter: 1 }, virtual: {} }],
  ["a misaligned page", ({ put }) => put(0, 0x2_0803), H_PARAMETER, { real: { parameter: 1 }, virtual: {} }],
  ["a page outside of memory", ({ put }) => put(0, MEMORY + 3), H_PARAMETER, { real: { parameter: 1 }, virtual: {} }],
  ["513 pages", ({ call }) => call(H_PUT_TCE_INDIRECT, LIOBN, 0, LIST, 513), H_PARAMETER, { virtual: {} }],
  ["a list inside 4 KiB", ({ call }) => call(H_PUT_TCE_INDIRECT, LIOBN, 0, LIST + 8, 1), H_PARAMETER, { virtual: {} }],
  ["permissions in H_STUFF_TCE", ({ call }) => call(H_STUFF_TCE, LIOBN, 0, 1, 1), H_PARAMETER, { virtual: {} }],
  [
    "more than the table has",
    ({ call }) => call(H_STUFF_TCE, LIOBN, 0x1000, 0, 0x4_0000),
    H_PARAMETER,
    { virtual: {} },
  ],
  ["a range whose end wraps", ({ call }) => call(H_STUFF_TCE, LIOBN, 0x1000, 0, -1n), H_PARAMETER, { virtual: {} }],
  ["no pages at the table's end", ({ call }) => call(H_STUFF_TCE, LIOBN, GIB, 0, 0), H_SUCCESS, { virtual: {} }],
  [
    "a list outside of memory",
    ({ call }) => call(H_PUT_TCE_INDIRECT, LIOBN, 0, 0x7000_0000, 1),
    H_TOO_HARD,
    { real: { tooHard: 1 }, why: { unreadableList: 2 } },
  ],
  [
    "a list that cannot be read",
    ({ call, process, memory }) => {
      process.mm.mprotect(memory.base, MEMORY, PROT_NONE);
      return call(H_PUT_TCE_INDIRECT, LIOBN, 0, LIST, 1);
    },
    H_TOO_HARD,
    { real: { tooHard: 1 }, why: { unreadableList: 2 } },
  ],
  [
    "a list with a bad entry: those before it are written",
    ({ call, list, hardware }) => {
      const result = call(H_PUT_TCE_INDIRECT, LIOBN, 0, list(LIST, [TCE, 0x2_0803]), 2);
      expect(hardware().live).toBe(1);
      return result;
    },
    H_PARAMETER,
    { real: { parameter: 1 }, virtual: {} },
  ],
  [
    "memory that is not registered",
    ({ spapr, memory, put }) => {
      spapr.unregisterMemory({ address: memory.address, size: MEMORY });
      return put(0, TCE);
    },
    H_TOO_HARD,
    { real: { tooHard: 1 }, why: { notRegistered: 2 } },
  ],
  [
    "a region that is going: unexpected, so the entry is cleared and the call goes on",
    ({ put, region, driver, window, hardware }) => {
      put(0, TCE);
      driver.arena.words[region().record + REGION.MAPPED] = 0;
      const result = put(0, 0x3_0003);
      expect([hardware().permission(0), window.entry(0)]).toEqual([0, 0x3_0003n]);
      return result;
    },
    H_SUCCESS,
    { real: { success: 2 }, virtual: {} },
  ],
  [
    "a region that is going, in a list: the first entry is cleared, the code is the last one's",
    ({ put, call, list, region, driver, window, hardware }) => {
      put(0, TCE);
      driver.arena.words[region().record + REGION.MAPPED] = 0;
      const result = call(H_PUT_TCE_INDIRECT, LIOBN, 0, list(LIST, [0x3_0003, 0x4_0003]), 2);
      expect([hardware().live, window.entry(1)]).toEqual([0, 0x4_0003n]);
      return result;
    },
    H_CLOSED,
    { real: { success: 1, other: 1 }, virtual: {} },
  ],
  [
    "hardware that takes no update: virtual mode's, and nothing is counted",
    ({ put, hardware, region }) => {
      hardware().refuses = (entry) => entry === 2;
      const result = put(0x2000, TCE);
      expect([region().mapped, hardware().live]).toEqual([1, 0]);
      return result;
    },
    H_SUCCESS,
    { real: { tooHard: 1 }, virtual: { success: 1 } },
  ],
  [
    "an entry whose memory is not registered any more: it is put back",
    ({ put, hardware }) => {
      put(0x1000, TCE);
      hardware().setUserAddress(1, 0);
      const result = put(0x1000, 0);
      expect(hardware().permission(1)).toBe(3);
      return result;
    },
    H_TOO_HARD,
    { real: { success: 1, tooHard: 1 }, why: { notRegistered: 2 } },
  ],
];

describe("spapr-iommu real mode: outcomes on 4.12", () => {
  it.each(ROWS)("%s", (_what, act, result, outcome) => {
    const made = linked();
    expect(act(made)).toBe(result);
    expect(made.stages()).toMatchObject(outcome);
    for (const stage of ["real", "virtual"] as const) {
      const expected = (outcome as Partial<ReturnType<typeof made.stages>>)[stage];
      if (expected) expect(made.stages()[stage]).toEqual(expected);
    }
  });

  it("the first request is the VFIO driver's, because nothing keeps user addresses before", () => {
    const { put, call, hardware, spapr, memory, stages } = linked({ lazy: true });
    expect([put(0x1000, TCE), call(H_STUFF_TCE, LIOBN, 0, 0, 4)]).toEqual([H_TOO_HARD, H_SUCCESS]);
    expect(stages().why).toEqual({ noUserView: 2 });
    const user = memory.base + 0x2_0000;
    expect(spapr.mapDma(0, 0x1000, Math.floor(user / 2 ** 32), user % 2 ** 32, 0x1000, 3)).toBe(0);
    // From now on wherever in the window: all of the view is there.
    expect([put(0x3000_0000, 0x3_0003), put(0x1000, 0)]).toEqual([H_SUCCESS, H_SUCCESS]);
    expect(hardware().live).toBe(1);
    expect(stages()).toMatchObject({ real: { tooHard: 1, success: 3 }, virtual: { tooHard: 1 } });
  });

  it("an entry that was there before the view is put back", () => {
    const { put, hardware } = linked({ lazy: true });
    hardware().exchange(1, 0x1_0000_0000, 3);
    expect(put(0x1000, 0)).toBe(H_TOO_HARD);
    expect(hardware().permission(1)).toBe(3);
  });

  it("a page larger than what backs its memory is unexpected: cleared, told once, by whichever stage", () => {
    const memory = new Uint8Array(0x200_0000);
    const { put, hardware, window, kernel, stages } = linked({
      window: { pageShift: 24, size: 1n << 37n },
      pageShifts: [12, 24],
      memory,
    });
    expect([put(0, 3), put(0x100_0000, 0x100_0003)]).toEqual([H_SUCCESS, H_SUCCESS]);
    expect([hardware().live, window.entry(1)]).toEqual([0, 0x100_0003n]);
    hardware().refuses = () => true;
    expect(put(0, 3)).toBe(H_SUCCESS);
    expect(stages()).toMatchObject({ real: { success: 2, tooHard: 1 }, virtual: { success: 1 } });
    expect(kernel.log.filter((line) => line.includes("hardware TCE table")).length).toBe(1);
  });

  it("one table of two that fails does not stop the other", () => {
    const made = linked();
    secondContainer(made);
    made.link(made.window, 1);
    made.hardware(1).makeUserView();
    made.hardware(1).refuses = (entry) => entry === 1;
    expect(made.put(0x1000, TCE)).toBe(H_SUCCESS);
    expect([made.hardware(0).permission(1), made.hardware(1).permission(1)]).toEqual([3, 0]);
    expect(made.window.entry(1)).toBe(BigInt(TCE));
  });

  it("memory of a version 1 container is user space's", () => {
    const made = linked();
    made.hardware().exchange(7, 0x1_0000_0000, 3);
    expect(made.put(0x7000, 0)).toBe(H_TOO_HARD);
    expect(made.stages().why).toEqual({ notRegistered: 2 });
  });
});

describe("spapr-iommu real mode: outcomes on 6.12", () => {
  it("leaves pages and levels that are not there yet to virtual mode", () => {
    const { put, call, stages } = linked({ profile: "6.12" });
    // Nothing to make for zeros; then the guest's page and the hardware's leaf; then only a leaf.
    expect([put(0x1000, 0), put(0x1000, TCE), put(0x2000, TCE)]).toEqual([0, 0, 0]);
    expect(stages()).toEqual({ real: { success: 2, tooHard: 1 }, virtual: { success: 1 }, why: { missingLevel: 1 } });
    put(0x1000_0000, 0x7770_0000);
    expect(put(0x1000_0000, TCE)).toBe(H_SUCCESS);
    expect(stages().why).toEqual({ missingLevel: 3 });
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 0x4_0000)).toBe(H_SUCCESS);
    expect(call(H_STUFF_TCE, LIOBN, 0x3000_0000, 0x10, 1)).toBe(H_SUCCESS);
    expect(stages().why).toEqual({ missingLevel: 4 });
  });

  it.each([
    ["a misaligned page", 0x2_0803, "misaligned"],
    ["a page outside of memory", MEMORY + 3, "outsideMemory"],
  ] as const)("%s is user space's", (_what, tce, reason) => {
    const { put, stages } = linked({ profile: "6.12" });
    put(0, TCE);
    expect(put(0, tce)).toBe(H_TOO_HARD);
    expect(stages().why[reason]).toBe(2);
  });

  it("writes nothing of a list that has a bad entry", () => {
    const { put, call, list, window, counters } = linked({ profile: "6.12" });
    put(0, TCE);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0, list(LIST, [0x3_0003, 0x2_0803]), 2)).toBe(H_TOO_HARD);
    expect(window.entry(0)).toBe(BigInt(TCE));
    const { real, virtual } = counters().stages;
    expect([real.H_PUT_TCE_INDIRECT.entries, virtual.H_PUT_TCE_INDIRECT.entries]).toEqual([0, 0]);
  });
});
