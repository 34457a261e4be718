// Real mode: what compiled code answers, what it leaves to virtual mode, and that it sees every change at once.
import { PROT_NONE } from "@minivmm/host";
import { KVM_CAP_PPC_ENABLE_HCALL } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import { VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import {
  H_CLOSED,
  H_GET_TCE,
  H_PARAMETER,
  H_PUT_TCE,
  H_PUT_TCE_INDIRECT,
  H_STUFF_TCE,
  H_SUCCESS,
  SpaprContainer,
} from "../src/index.ts";
import { arenaLayout, PreregisteredMemory, type Reason } from "../src/model/index.ts";
import { GIB, LIOBN, MEMORY, vfioRig, vmRig } from "./kvm-rig.ts";

const { REGION } = arenaLayout;
const LIST = 0x1_0000;
const TCE = 0x2_0003;

type Options = Parameters<typeof vfioRig>[0];

/** A window that a group follows, with registered memory and, unless it is lazy, a user view. */
function linked(options: Options & { lazy?: boolean } = {}) {
  const { lazy = false, ...rest } = options;
  const made = vfioRig({ profile: "4.12", realMode: true, ...rest });
  const pageShift = options.window?.pageShift ?? 12;
  const window = made.table({ pageShift, size: options.window?.size ?? GIB });
  expect(made.link(window)).toBe(0);
  made.register();
  if (!lazy && !made.hardware().userView) made.hardware().makeUserView();
  const put = (ioba: number | bigint, tce: number | bigint) => made.call(H_PUT_TCE, LIOBN, ioba, tce);
  const region = () => PreregisteredMemory.of(made.process.mm, made.driver.arena).regions[0]!;
  /** [real, virtual] outcomes of all calls so far, without the zeros. */
  const stages = () => {
    const { stages: all, reasons } = made.counters();
    const of = (stage: "real" | "virtual") => {
      const sums: Record<string, number> = {};
      for (const { entries: _, ...outcomes } of Object.values(all[stage])) {
        for (const [outcome, count] of Object.entries(outcomes)) {
          if (count > 0) sums[outcome] = (sums[outcome] ?? 0) + count;
        }
      }
      return sums;
    };
    const why = Object.entries(reasons).filter(([, count]) => count > 0) as [Reason, number][];
    return { real: of("real"), virtual: of("virtual"), why: Object.fromEntries(why) };
  };
  return { ...made, window, put, region, stages };
}

function secondContainer(made: ReturnType<typeof vfioRig>): SpaprContainer {
  const container = VfioContainer.open(made.process);
  VfioGroup.open(made.process, 1).setContainer(container);
  container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
  const spapr = new SpaprContainer(container);
  spapr.removeWindow(0n);
  spapr.createWindow({ pageShift: 12, windowSize: GIB });
  return spapr;
}

describe("spapr-iommu real mode: answers", () => {
  it.each(["4.12", "6.1", "6.12"] as const)("map, exchange and unmap a page on %s, for a radix guest", (profile) => {
    const { put, window, hardware, region, stages, memory, process } = linked({ profile });
    // On the newer ones the first page of each table is made by virtual mode.
    put(0, TCE);
    const before = stages().virtual;
    expect([put(0x1000, TCE), put(0x1000, 0x3_0001), put(0x2000, 0x4_0002)]).toEqual([0, 0, 0]);
    expect([1, 2].map((i) => window.entry(i))).toEqual([0x3_0001n, 0x4_0002n]);
    // The hardware lets a device read what it may write.
    expect([1, 2].map((i) => hardware().permission(i))).toEqual([1, 3]);
    expect(hardware().page(1)).toBe(process.mm.virtToPhys(memory.base + 0x3_0000));
    expect(hardware().userAddress(2)).toBe(memory.base + 0x4_0000);
    expect([region().mapped, hardware().live]).toEqual([4, 3]);
    expect([put(0x1000, 0), put(0x2000, 0x7770_0000), put(0x2000, 0)]).toEqual([0, 0, 0]);
    expect([region().mapped, hardware().live, hardware().permission(2)]).toEqual([2, 1, 0]);
    expect(stages().virtual).toEqual(before);
  });

  it("lists and ranges, also over the border of a page of the guest's table and of a leaf", () => {
    const { call, list, window, hardware, region, stages } = linked();
    const count = 512;
    const first = 8192 - 100;
    const entries = Array.from({ length: count }, (_, i) => BigInt((i << 12) | 3));
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, first * 4096, list(LIST, entries), count)).toBe(H_SUCCESS);
    expect(entries.map((_, i) => window.entry(first + i))).toEqual(entries);
    expect([hardware().live, region().mapped]).toEqual([count, count + 1]);
    expect(call(H_STUFF_TCE, LIOBN, (first + 1) * 4096, 0x5550, count - 2)).toBe(H_SUCCESS);
    expect([hardware().live, region().mapped]).toEqual([2, 3]);
    expect([0, 1, count - 2, count - 1].map((i) => window.entry(first + i))).toEqual([
      3n,
      0x5550n,
      0x5550n,
      BigInt(((count - 1) << 12) | 3),
    ]);
    expect(stages()).toEqual({ real: { success: 2 }, virtual: {}, why: {} });
  });

  it("H_GET_TCE, with the value in r4", () => {
    const { model, put, stages } = linked();
    put(0x5000, 0x7fff_ffff_0000_0000n);
    const found = model.hypercall(H_GET_TCE, LIOBN, 0x5000);
    expect([found.result, found.values[0]]).toEqual([H_SUCCESS, 0x7fff_ffff_0000_0000n]);
    const refused = model.hypercall(H_GET_TCE, LIOBN, 0x4000_0000);
    expect([refused.result, refused.values[0]]).toEqual([H_PARAMETER, BigInt(LIOBN)]);
    expect(stages().real).toEqual({ success: 2, parameter: 1 });
  });

  it("a large page over smaller ones of the hardware", () => {
    const made = vfioRig({ realMode: true });
    made.link(made.table({ pageShift: 16 }));
    made.register();
    const put = (ioba: number, tce: number) => made.call(H_PUT_TCE, LIOBN, ioba, tce);
    expect([put(0, 0x1_0003), put(0x3_0000, 0x2_0003)]).toEqual([0, 0]);
    expect(made.hardware().live).toBe(32);
    expect(made.hardware().page(0x3f) - made.hardware().page(0x30)).toBe(0xf000);
    expect(made.call(H_STUFF_TCE, LIOBN, 0, 0, 4)).toBe(H_SUCCESS);
    expect(made.hardware().live).toBe(0);
    expect(made.counters().stages.real).toMatchObject({ H_PUT_TCE: { success: 1 }, H_STUFF_TCE: { success: 1 } });
  });

  it("every table that follows", () => {
    const made = linked();
    secondContainer(made);
    made.link(made.window, 1);
    made.hardware(1).makeUserView();
    expect(made.put(0x1000, TCE)).toBe(H_SUCCESS);
    expect([made.hardware(0).permission(1), made.hardware(1).permission(1), made.region().mapped]).toEqual([3, 3, 3]);
    made.unlink(1);
    made.put(0x2000, TCE);
    expect([made.hardware(0).live, made.hardware(1).live]).toEqual([2, 1]);
    expect(made.stages().virtual).toEqual({});
  });

  it("tables of emulated devices, whose pages need not be memory", () => {
    const made = vfioRig({ profile: "4.12", realMode: true });
    const window = made.table();
    expect(made.call(H_PUT_TCE, LIOBN, 0x1000, TCE)).toBe(H_SUCCESS);
    expect(window.entry(1)).toBe(BigInt(TCE));
    expect(made.counters().stages.real.H_PUT_TCE.success).toBe(1);
  });
});

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
    const { put, call, list, window } = linked({ profile: "6.12" });
    put(0, TCE);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0, list(LIST, [0x3_0003, 0x2_0803]), 2)).toBe(H_TOO_HARD);
    expect(window.entry(0)).toBe(BigInt(TCE));
  });
});

describe("spapr-iommu real mode: sees at once", () => {
  it("hypercalls that are switched off and on", () => {
    const { vm, put, call, stages } = linked();
    vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(H_PUT_TCE), 0n]);
    expect(put(0, TCE)).toBe(H_TOO_HARD);
    vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(H_STUFF_TCE), 0n]);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 1)).toBe(H_TOO_HARD);
    expect(stages().real).toEqual({});
    vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(H_PUT_TCE), 1n]);
    expect(put(0, TCE)).toBe(H_SUCCESS);
    expect(stages().real).toEqual({ success: 1 });
  });

  it("memory slots", () => {
    const { vm, put, memory, hardware, stages } = linked();
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n });
    expect(put(0, TCE)).toBe(H_PARAMETER);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0x1_0000_0000n, memory: memory.bytes });
    expect([put(0, TCE), put(0, 0x1_0002_0003)]).toEqual([H_PARAMETER, H_SUCCESS]);
    expect(hardware().userAddress(0)).toBe(memory.base + 0x2_0000);
    expect(stages().virtual).toEqual({});
  });

  it("tables that come and go", () => {
    const { table, call, window, stages } = linked();
    const other = table({ liobn: LIOBN + 1 });
    expect(call(H_PUT_TCE, LIOBN + 1, 0, 0)).toBe(H_SUCCESS);
    other.close();
    expect(call(H_PUT_TCE, LIOBN + 1, 0, 0)).toBe(H_TOO_HARD);
    window.close();
    expect(call(H_PUT_TCE, LIOBN, 0, 0)).toBe(H_TOO_HARD);
    expect(stages().real).toEqual({ success: 1, tooHard: 2 });
  });

  it("links, and a window that was removed under one", () => {
    const made = linked();
    made.put(0, TCE);
    made.unlink();
    made.put(0x1000, TCE);
    const old = made.hardware();
    expect(old.live).toBe(1);
    made.link(made.window);
    made.spapr.removeWindow(0n);
    expect(made.put(0x2000, TCE)).toBe(H_SUCCESS);
    expect([old.permission(0), old.permission(2), made.region().mapped]).toEqual([0, 3, 2]);
    expect(made.stages().virtual).toEqual({});
  });

  it("a VM that goes, with everything given back", () => {
    const { put, process, kvm, driver } = linked();
    put(0, TCE);
    process.exit();
    expect(kvm.vms.size).toBe(0);
    // The head of the list of regions is the address space's.
    expect(driver.arena.used).toBe(4);
  });
});

describe("spapr-iommu real mode: where it is", () => {
  it("is not there unless asked for or the kernel has it", () => {
    expect(vfioRig().kvm.realMode).toBe(null);
    expect(vfioRig({ profile: "4.12", realMode: false }).kvm.realMode).toBe(null);
    expect(vfioRig({ profile: "4.12", guestMmu: "hash" }).kvm.realMode).not.toBe(null);
    expect(vmRig({ profile: "3.11" }).kvm.realMode).toBe(null);
  });

  it("on 3.11 stores what it gets", () => {
    const made = vmRig({ profile: "3.11", realMode: true });
    const window = made.table();
    expect(made.call(H_PUT_TCE, LIOBN, 0x1804, 0x7000_0803)).toBe(H_SUCCESS);
    expect(window.entry(1)).toBe(0x7000_0803n);
    expect(made.counters().stages.real.H_PUT_TCE.success + made.counters().stages.virtual.H_PUT_TCE.success).toBe(1);
  });
});
