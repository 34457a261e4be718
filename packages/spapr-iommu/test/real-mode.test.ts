// Real mode: what compiled code answers, that it sees every change at once, and where it is.
import {
  H_GET_TCE,
  H_PARAMETER,
  H_PUT_TCE,
  H_PUT_TCE_INDIRECT,
  H_STUFF_TCE,
  H_SUCCESS,
  KVM_CAP_PPC_ENABLE_HCALL,
} from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import { describe, expect, it } from "vitest";
import { memoryStore, regionStore, type WasmMemory } from "../src/model/index.ts";
import { LIOBN, vfioRig, vmRig } from "./kvm-rig.ts";
import { linked, secondContainer } from "./real-rig.ts";

/** The part of the JavaScript API that no type library here names. */
const { Memory } = (
  globalThis as unknown as {
    WebAssembly: { Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory };
  }
).WebAssembly;
const LIST = 0x1_0000;
const TCE = 0x2_0003;

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

  it("a window far up, whose table is a tree of two directories", () => {
    const made = linked({ profile: "6.12" });
    const busAddress = 1n << 59n;
    const size = 1n << 43n;
    made.spapr.createWindow({ pageShift: 16, windowSize: size, levels: 2 });
    const window = made.table({ liobn: LIOBN + 1, pageShift: 16, busAddress, size });
    expect(made.link(window)).toBe(0);
    const hardware = made.hardware(0, 1);
    const put = (page: number, tce: number) =>
      made.call(H_PUT_TCE, LIOBN + 1, busAddress + BigInt(page) * 0x1_0000n, tce);
    const last = 2 ** 27 - 1;
    const places = [0, 8191, 8192, 67_108_863, 67_108_864, last];
    // The first of each pair makes what is missing.
    for (const page of places) expect([put(page, 0x1_0003), put(page, TCE)], `${page}`).toEqual([0, 0]);
    expect(places.map((page) => hardware.userAddress(page))).toEqual(places.map(() => made.memory.base + 0x2_0000));
    expect(places.map((page) => window.entry(page))).toEqual(places.map(() => BigInt(TCE)));
    expect([put(last + 1, TCE), put(-1, TCE)]).toEqual([H_PARAMETER, H_PARAMETER]);
    expect(hardware.live).toBe(places.length);
    expect(made.call(H_STUFF_TCE, LIOBN + 1, busAddress, 0, 2 ** 27)).toBe(H_SUCCESS);
    expect([hardware.live, made.region().mapped]).toEqual([0, 1]);
    // 0 and 8191 share a leaf, and so do none of the others; of the guest's pages too.
    expect(made.stages()).toMatchObject({ real: { success: 8, parameter: 2, tooHard: 5 }, virtual: { success: 5 } });
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

  it("works in a memory that was given, shared and not from its beginning, and is not there without one", () => {
    const pages = { initial: 2, maximum: 4096, shared: true } as const;
    const { put, hardware, stages } = linked({ store: memoryStore(new Memory(pages), 64) });
    expect([put(0x1000, TCE), hardware().permission(1)]).toEqual([H_SUCCESS, 3]);
    expect(stages()).toEqual({ real: { success: 1 }, virtual: {}, why: {} });
    const fixed = linked({ store: regionStore(new ArrayBuffer(0x200_0000), 0, 0x200_0000) });
    expect(fixed.put(0x1000, TCE)).toBe(H_SUCCESS);
    expect(fixed.stages().real).toEqual({});
  });
});
