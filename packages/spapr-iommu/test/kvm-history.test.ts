// Older kernels: 4.12 with a stage in real mode and a user view that appears late, 3.11 with nothing but H_PUT_TCE.
import { EBUSY } from "@minivmm/host";
import {
  H_GET_TCE,
  H_HARDWARE,
  H_PARAMETER,
  H_PUT_TCE,
  H_PUT_TCE_INDIRECT,
  H_STUFF_TCE,
  H_SUCCESS,
} from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import { describe, expect, it } from "vitest";
import { LIOBN, MEMORY, vfioRig, vmRig } from "./kvm-rig.ts";

const OLD = { profile: "4.12" } as const;
const HASH = { ...OLD, guestMmu: "hash" } as const;

function linked(options: Parameters<typeof vfioRig>[0] = OLD) {
  const made = vfioRig(options);
  const window = made.table();
  made.link(window);
  made.register();
  const put = (ioba: number, tce: number) => made.call(H_PUT_TCE, LIOBN, ioba, tce);
  /** What user space does with a call that came to it. */
  const mapDma = (ioba: number, gpa: number) => {
    const user = made.memory.base + gpa;
    return made.spapr.mapDma(0, ioba, Math.floor(user / 2 ** 32), user % 2 ** 32, 0x1000, 3);
  };
  return { ...made, window, put, mapDma };
}

describe("spapr-iommu KVM 4.12: the first request", () => {
  it("is the VFIO driver's, because nothing keeps user addresses before", () => {
    const { put, mapDma, hardware, counters } = linked(HASH);
    expect(put(0x1000, 0x2_0003)).toBe(H_TOO_HARD);
    expect(mapDma(0x1000, 0x2_0000)).toBe(0);
    expect(put(0x2000, 0x3_0003)).toBe(H_SUCCESS);
    expect([hardware().permission(1), hardware().permission(2)]).toEqual([3, 3]);
    const { stages, reasons } = counters();
    expect(stages.real.H_PUT_TCE).toMatchObject({ tooHard: 1, success: 1 });
    expect(stages.virtual.H_PUT_TCE).toMatchObject({ tooHard: 1, success: 0 });
    expect(reasons.noUserView).toBe(2);
  });

  it("also when it unmaps: an entry that cannot be given up is put back", () => {
    const { put, call, hardware } = linked();
    hardware().exchange(1, 0x1_0000_0000, 3);
    expect(put(0x1000, 0)).toBe(H_TOO_HARD);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 4)).toBe(H_TOO_HARD);
    expect(hardware().permission(1)).toBe(3);
  });
});

describe("spapr-iommu KVM 4.12: stages", () => {
  it("leaves radix guests to virtual mode", () => {
    const { put, mapDma, counters } = linked(OLD);
    put(0, 0x1_0003);
    mapDma(0, 0x1_0000);
    expect(put(0x1000, 0x2_0003)).toBe(H_SUCCESS);
    const { stages, reasons } = counters();
    expect(stages.real.H_PUT_TCE).toMatchObject({ tooHard: 2, success: 0 });
    expect(stages.virtual.H_PUT_TCE).toMatchObject({ tooHard: 1, success: 1 });
    expect(reasons.guestMmu).toBe(2);
  });

  it("ends in real mode with what is wrong", () => {
    const { put, call, list, counters } = linked(HASH);
    expect([put(0x800, 3), put(0, 0x2_0803), put(0, MEMORY + 3)]).toEqual([H_PARAMETER, H_PARAMETER, H_PARAMETER]);
    expect(call(H_GET_TCE, LIOBN, 0)).toBe(H_SUCCESS);
    expect(call(H_GET_TCE, LIOBN + 1, 0)).toBe(H_TOO_HARD);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0, list(0x1_0000, [0]), 513)).toBe(H_PARAMETER);
    const { stages } = counters();
    expect(stages.real.H_PUT_TCE.parameter).toBe(3);
    expect(stages.real.H_GET_TCE).toMatchObject({ success: 1, tooHard: 1 });
    expect(stages.virtual.H_PUT_TCE.parameter).toBe(0);
  });
});

describe("spapr-iommu KVM 4.12: a failed hardware update", () => {
  function broken(options: Parameters<typeof vfioRig>[0], entry: number) {
    const made = linked(options);
    made.mapDma(0, 0x1_0000);
    made.hardware().refuses = (each) => each === entry;
    return made;
  }

  it("clears the entry and goes on, with one warning", () => {
    const { put, window, hardware, kernel } = broken(OLD, 2);
    expect([put(0x2000, 0x2_0003), put(0x2000, 0x3_0003)]).toEqual([H_SUCCESS, H_SUCCESS]);
    expect([window.entry(2), hardware().permission(2)]).toEqual([0x3_0003n, 0]);
    expect(kernel.log.filter((line) => line.includes("hardware TCE table")).length).toBe(1);
  });

  it("in a list clears the first entry of the call, and answers with the last one's code", () => {
    const { call, list, window, hardware } = broken(OLD, 2);
    const at = list(0x1_0000, [0x2_0003, 0x3_0003, 0x4_0003]);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0, at, 3)).toBe(H_HARDWARE);
    expect([0, 1, 2].map((i) => window.entry(i))).toEqual([0x2_0003n, 0x3_0003n, 0x4_0003n]);
    expect([0, 1, 2].map((i) => hardware().permission(i))).toEqual([0, 3, 0]);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0x1000, at, 3)).toBe(H_SUCCESS);
  });

  it("in real mode is virtual mode's business", () => {
    const { put, counters } = broken(HASH, 2);
    expect(put(0x2000, 0x2_0003)).toBe(H_SUCCESS);
    expect(counters().stages.real.H_PUT_TCE.tooHard).toBe(1);
    expect(counters().stages.virtual.H_PUT_TCE.success).toBe(1);
  });

  it("in H_STUFF_TCE too", () => {
    const { call, window } = broken(OLD, 2);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0x7000, 4)).toBe(H_SUCCESS);
    expect(window.entry(3)).toBe(0x7000n);
  });
});

describe("spapr-iommu KVM 4.12: tables", () => {
  it("writes a list entry by entry, up to the bad one", () => {
    const { call, list, table } = vmRig(OLD);
    const window = table();
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0, list(0x1_0000, [0x2_0003, MEMORY + 3]), 2)).toBe(H_PARAMETER);
    expect(window.entry(0)).toBe(0x2_0003n);
  });

  it("compares LIOBNs before memory, and fills the last page", () => {
    const { table, call, process } = vmRig(OLD);
    table({ size: 0x1000n });
    expect(call(H_PUT_TCE, LIOBN, 0x1ff_f000, 3)).toBe(H_SUCCESS);
    process.rlimits.memlock.soft = 0;
    expect(() => table()).toThrow(expect.objectContaining({ errno: EBUSY }));
  });
});

describe("spapr-iommu KVM 3.11", () => {
  it("has H_PUT_TCE for emulated devices, and checks nothing but the end", () => {
    const { call, table, tce, process } = vmRig({ profile: "3.11" });
    const window = table();
    expect(call(H_PUT_TCE, LIOBN, 0x1804, 0x7000_0803)).toBe(H_SUCCESS);
    expect(window.entry(1)).toBe(0x7000_0803n);
    expect(call(H_PUT_TCE, LIOBN, 0x4000_0000, 3)).toBe(H_PARAMETER);
    for (const nr of [H_GET_TCE, H_STUFF_TCE, H_PUT_TCE_INDIRECT]) expect(call(nr, LIOBN, 0, 0, 1)).toBe(H_TOO_HARD);
    expect(tce.link).toBe(null);
    expect(process.mm.lockedPages).toBe(0);
  });
});
