import { PROT_NONE } from "@minivmm/host";
import { H_GET_TCE, H_PARAMETER, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_SUCCESS } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import { VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { SpaprContainer } from "../src/index.ts";
import { PreregisteredMemory } from "../src/model/index.ts";
import { GIB, LIOBN, MEMORY, vfioRig, vmRig } from "./kvm-rig.ts";

/** A VM with a 1 GiB window that no device follows. */
function emulated() {
  const made = vmRig();
  const table = made.table();
  const put = (ioba: number | bigint, tce: number | bigint) => made.call(H_PUT_TCE, LIOBN, ioba, tce);
  return { ...made, window: table, put };
}

/** The same, followed by a group whose memory is registered. */
function linked(options: Parameters<typeof vfioRig>[0] & { guest?: { pageShift: number } } = {}) {
  const made = vfioRig(options);
  const table = made.table(options.guest);
  made.link(table);
  const regions = () => PreregisteredMemory.of(made.process.mm, made.driver.arena).regions;
  const mapped = () => regions().reduce((sum, region) => sum + region.mapped - 1, 0);
  const put = (ioba: number | bigint, tce: number | bigint) => made.call(H_PUT_TCE, LIOBN, ioba, tce);
  const indirect = (ioba: number, at: number, count: number) => made.call(H_PUT_TCE_INDIRECT, LIOBN, ioba, at, count);
  return { ...made, window: table, put, indirect, mapped };
}

describe("spapr-iommu H_PUT_TCE", () => {
  it.each([
    ["another LIOBN", LIOBN + 1, 0, 3, H_TOO_HARD],
    ["a LIOBN that differs above 32 bits", 0x1_8000_0000n, 0, 3, H_TOO_HARD],
    ["a bus address inside a page", LIOBN, 0x800, 3, H_PARAMETER],
    ["the first address behind", LIOBN, 0x4000_0000, 3, H_PARAMETER],
    ["the last page", LIOBN, 0x3fff_f000, 3, H_SUCCESS],
    ["an address far behind", LIOBN, 0xffff_ffff_ffff_0000n, 3, H_PARAMETER],
    ["a misaligned page", LIOBN, 0, 0x1803, H_TOO_HARD],
    ["a page outside of memory", LIOBN, 0, MEMORY + 3, H_TOO_HARD],
    ["a page outside of everything", LIOBN, 0, 0x8000_0000_0000_0003n, H_TOO_HARD],
    ["anything without permissions", LIOBN, 0, 0xdead_beef_0123_4560n, H_SUCCESS],
  ])("%s", (_what, liobn, ioba, tce, expected) => {
    const { call } = emulated();
    expect(call(H_PUT_TCE, liobn, ioba, tce)).toBe(expected);
  });

  it("stores nothing unless it succeeds", () => {
    const { put, window } = emulated();
    put(0, 0x5003);
    for (const tce of [0x1803, MEMORY + 3]) put(0, tce);
    expect(window.entry(0)).toBe(0x5003n);
  });

  it("counts from the window's start, and knows no address below", () => {
    const { call, table } = vmRig();
    const start = 1n << 59n;
    const high = table({ pageShift: 16, busAddress: start });
    expect(call(H_PUT_TCE, LIOBN, start + 0x2_0000n, 0x3_0003)).toBe(H_SUCCESS);
    expect(high.entry(2)).toBe(0x3_0003n);
    expect(call(H_PUT_TCE, LIOBN, 0x2_0000, 0x3_0003)).toBe(H_PARAMETER);
    expect(call(H_PUT_TCE, LIOBN, start + 0x1000n, 0x3_0003)).toBe(H_PARAMETER);
  });

  it("follows memory slots as they come and go", () => {
    const { put, vm } = emulated();
    expect(put(0, 0x10_0003)).toBe(H_SUCCESS);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n });
    expect(put(0, 0x10_0003)).toBe(H_TOO_HARD);
    vm.setMemoryRegion({ slot: 7, guestAddress: 1n << 40n, memory: new Uint8Array(0x1_0000) });
    expect(put(0, (1n << 40n) | 0x3n)).toBe(H_SUCCESS);
    expect(put(0, (1n << 40n) + 0x1_0003n)).toBe(H_TOO_HARD);
  });
});

describe("spapr-iommu H_PUT_TCE with hardware", () => {
  it("needs registered memory, and writes both tables", () => {
    const { put, register, hardware, window, counters, mapped, memory } = linked();
    expect(put(0x1000, 0x2_0003)).toBe(H_TOO_HARD);
    expect([window.entry(1), hardware().permission(1), counters().reasons.notRegistered]).toEqual([0n, 0, 1]);
    register();
    expect(put(0x1000, 0x2_0003)).toBe(H_SUCCESS);
    expect([window.entry(1), hardware().permission(1)]).toEqual([0x2_0003n, 3]);
    expect(hardware().userAddress(1)).toBe(memory.base + 0x2_0000);
    expect(mapped()).toBe(1);
    put(0x1000, 0x3_0001);
    expect([mapped(), hardware().permission(1)]).toEqual([1, 1]);
    put(0x1000, 0);
    expect([mapped(), hardware().permission(1), hardware().userAddress(1)]).toEqual([0, 0, 0]);
  });

  it("lets the device at the guest's memory", () => {
    const { put, register, memory, driver, iommuGroups } = linked();
    register();
    memory.bytes[0x2_0010] = 42;
    put(0x5000, 0x2_0003);
    const into = new Uint8Array(1);
    expect(driver.tableGroupOf(iommuGroups[0]!).domain.read(0, 0x5010, into)).toBe(true);
    expect(into[0]).toBe(42);
  });

  it("fans a large page out over smaller hardware pages", () => {
    const { put, register, hardware, mapped } = linked({ guest: { pageShift: 16 } });
    register();
    expect(put(0x3_0000, 0x2_0003)).toBe(H_SUCCESS);
    expect(Array.from({ length: 18 }, (_, i) => hardware().permission(0x2f + i))).toEqual([
      0,
      ...new Array<number>(16).fill(3),
      0,
    ]);
    expect(hardware().page(0x3f) - hardware().page(0x30)).toBe(0xf000);
    expect(mapped()).toBe(16);
    put(0x3_0000, 0);
    expect([mapped(), hardware().live]).toEqual([0, 0]);
  });

  it("writes every table that is attached, newest first, and ends at the one that fails", () => {
    const { put, register, window, hardware, link, process } = linked();
    register();
    const other = VfioContainer.open(process);
    const group = VfioGroup.open(process, 1);
    group.setContainer(other);
    other.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
    const second = new SpaprContainer(other);
    second.removeWindow(0n);
    second.createWindow({ pageShift: 12, windowSize: GIB });
    expect(link(window, 1)).toBe(0);
    expect(put(0x1000, 0x2_0003)).toBe(H_SUCCESS);
    expect([hardware(0).permission(1), hardware(1).permission(1)]).toEqual([3, 3]);
    // The newer one is written first; the call ends at the older one, and the newer one keeps its entry.
    hardware(0).refuses = (entry) => entry === 2;
    expect(put(0x2000, 0x2_0003)).toBe(H_TOO_HARD);
    expect([window.entry(2), hardware(0).permission(2), hardware(1).permission(2)]).toEqual([0n, 0, 3]);
  });

  it("clears what a failed call wrote, and leaves the guest's entry", () => {
    const { put, register, hardware, window } = linked({ guest: { pageShift: 16 } });
    register();
    put(0, 0x1_0003);
    hardware().refuses = (entry) =>
      entry === 9 && hardware().permission(8) !== 0 && hardware().page(8) % 0x2_0000 === 0x8000;
    expect(put(0, 0x2_0003)).toBe(H_TOO_HARD);
    hardware().refuses = null;
    expect(window.entry(0)).toBe(0x1_0003n);
    expect(Array.from({ length: 9 }, (_, i) => hardware().permission(i))).toEqual(new Array(9).fill(0));
  });

  it("puts an entry back whose memory it does not know (version 1, or unregistered)", () => {
    const { put, register, hardware, spapr, memory } = linked();
    register();
    spapr.mapDma(0, 0x1000, Math.floor(memory.base / 2 ** 32), memory.base % 2 ** 32, 0x1000, 3);
    hardware().setUserAddress(1, 0);
    const page = hardware().page(1);
    expect(hardware().exchange(1, page, 3)).toBe(3);
    expect(put(0x1000, 0)).toBe(H_TOO_HARD);
    // The kernel then clears it all the same, because the call failed.
    expect(hardware().permission(1)).toBe(0);
  });
});

describe("spapr-iommu H_PUT_TCE_INDIRECT", () => {
  it.each([
    ["more than fit", 0, 0x1_0000, 513, H_PARAMETER],
    ["a list inside 4 KiB", 0, 0x1_0008, 4, H_PARAMETER],
    ["a list outside of memory", 0, 0x7000_0000, 4, H_TOO_HARD],
    ["entries behind the table", 0x3fff_f000, 0x1_0000, 2, H_PARAMETER],
    ["the last entry", 0x3fff_f000, 0x1_0000, 1, H_SUCCESS],
    ["nothing", 0, 0x1_0000, 0, H_SUCCESS],
    ["nothing, at the table's end", 0x4000_0000, 0x1_0000, 0, H_SUCCESS],
    ["more than a number can hold", 0, 0x1_0000, (1n << 64n) - 1n, H_PARAMETER],
  ])("%s", (_what, ioba, at, count, expected) => {
    const { call, list } = emulated();
    list(0x1_0000, [0x2_0003]);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, ioba, at, count)).toBe(expected);
  });

  it.each([
    ["outside of memory", 0x7000_0003, H_TOO_HARD, [0n, 0n]],
    ["misaligned", 0x2_0803, H_TOO_HARD, [0n, 0n]],
    ["without permissions, outside of memory", 0x7000_0000, H_PARAMETER, [0x2_0003n, 0n]],
    ["without permissions, misaligned", 0x2_0800, H_SUCCESS, [0x2_0003n, 0x2_0800n]],
  ])("a second entry that is %s", (_what, second, expected, entries) => {
    const { call, list, window } = emulated();
    const at = list(0x1_0000, [0x2_0003, second]);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0, at, 2)).toBe(expected);
    expect([window.entry(0), window.entry(1)]).toEqual(entries);
  });

  it("cannot read a list in memory that may not be read", () => {
    const { call, memory, process, counters } = emulated();
    process.mm.mprotect(memory.base, MEMORY, PROT_NONE);
    expect(call(H_PUT_TCE_INDIRECT, LIOBN, 0, 0x1_0000, 1)).toBe(H_TOO_HARD);
    expect(counters().reasons.unreadableList).toBe(1);
  });

  it("maps entries without permissions too, which nobody unmaps", () => {
    const { indirect, call, list, register, mapped, hardware } = linked();
    register();
    expect(indirect(0, list(0x1_0000, [0x2_0003, 0]), 2)).toBe(H_SUCCESS);
    expect([mapped(), hardware().live]).toEqual([2, 1]);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 2)).toBe(H_SUCCESS);
    expect([mapped(), hardware().live]).toEqual([1, 0]);
  });

  it("stops where the hardware fails, and keeps what was before", () => {
    const { indirect, list, register, hardware, window, counters } = linked();
    register();
    hardware().refuses = (entry) => entry === 2;
    expect(indirect(0, list(0x1_0000, [0x2_0003, 0x3_0003, 0x4_0003]), 3)).toBe(H_TOO_HARD);
    expect([0, 1, 2].map((i) => window.entry(i))).toEqual([0x2_0003n, 0x3_0003n, 0n]);
    expect(counters().stages.virtual.H_PUT_TCE_INDIRECT).toMatchObject({ tooHard: 1, entries: 2 });
  });
});

describe("spapr-iommu H_STUFF_TCE and H_GET_TCE", () => {
  it("fills with what has no permissions, the whole table and not one more", () => {
    const { call, put, window } = emulated();
    put(0x1000, 0x5003);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0x12_3450, 3)).toBe(H_SUCCESS);
    expect([0, 1, 2, 3].map((i) => window.entry(i))).toEqual([0x12_3450n, 0x12_3450n, 0x12_3450n, 0n]);
    for (const bits of [1, 2, 3]) expect(call(H_STUFF_TCE, LIOBN, 0, bits, 1)).toBe(H_PARAMETER);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 0x4_0000)).toBe(H_SUCCESS);
    expect(window.entry(1)).toBe(0n);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 0x4_0001)).toBe(H_PARAMETER);
    expect(call(H_STUFF_TCE, LIOBN, 0x4000_0000, 0, 0)).toBe(H_SUCCESS);
    expect(call(H_STUFF_TCE, LIOBN, 0x4000_0000, 0, 1)).toBe(H_PARAMETER);
  });

  it("gives registered memory back", () => {
    const { call, put, register, mapped, hardware } = linked();
    register();
    for (const page of [0, 5, 0x3_ffff]) put(page * 4096, 0x2_0003);
    expect([mapped(), hardware().live]).toEqual([3, 3]);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 0x4_0000)).toBe(H_SUCCESS);
    expect([mapped(), hardware().live]).toEqual([0, 0]);
  });

  it("stops at an entry that it cannot give up, and leaves the guest's view", () => {
    const { call, put, register, hardware, window } = linked();
    register();
    put(0, 0x2_0003);
    put(0x1000, 0x2_0003);
    hardware().setUserAddress(1, 0);
    expect(call(H_STUFF_TCE, LIOBN, 0, 0, 2)).toBe(H_TOO_HARD);
    expect([hardware().permission(0), hardware().permission(1), window.entry(0)]).toEqual([0, 3, 0x2_0003n]);
  });

  it("reads what was written, and zeros where nothing was", () => {
    const { model, put } = emulated();
    put(0x1000, 0x8765_4321_0000_0000n);
    expect(model.hypercall(H_GET_TCE, LIOBN, 0x1000)).toMatchObject({
      result: H_SUCCESS,
      values: { 0: 0x8765_4321_0000_0000n },
    });
    expect(model.hypercall(H_GET_TCE, LIOBN, 0x2000_0000)).toMatchObject({ result: H_SUCCESS, values: { 0: 0n } });
    expect(model.hypercall(H_GET_TCE, LIOBN, 0x1001)).toMatchObject({
      result: H_PARAMETER,
      values: { 0: BigInt(LIOBN) },
    });
    expect(model.hypercall(H_GET_TCE, LIOBN + 1, 0)).toMatchObject({ result: H_TOO_HARD });
  });

  it("counts calls by kind and outcome, and why they were given up", () => {
    const { call, put, counters } = emulated();
    put(0, 0x1003);
    put(0x800, 0x1003);
    put(0, 0x1803);
    call(H_STUFF_TCE, LIOBN, 0, 0, 512);
    call(H_GET_TCE, LIOBN + 1, 0);
    const { stages, reasons } = counters();
    expect(stages.virtual.H_PUT_TCE).toEqual({ success: 1, parameter: 1, tooHard: 1, other: 0, entries: 1 });
    expect(stages.virtual.H_STUFF_TCE).toEqual({ success: 1, parameter: 0, tooHard: 0, other: 0, entries: 512 });
    expect(stages.virtual.H_GET_TCE.tooHard).toBe(1);
    expect(reasons).toMatchObject({ misaligned: 1, noTable: 1, outsideMemory: 0 });
    expect(stages.real.H_PUT_TCE.success).toBe(0);
  });
});
