// Who answers hypercalls on a window, decided by rule; windows, links and teardown on the modelled POWER9 with its KVM.

import { H_GET_TCE, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_SUCCESS } from "@minivmm/kvm";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { pciLiobn } from "../src/machines/pseries/memory-map.ts";
import {
  NO_KVM,
  NO_LINKS,
  NO_TABLES,
  SWITCHED_OFF,
  type TceUse,
  VERSION_1,
  whyNotInKernel,
} from "../src/machines/pseries/tce-acceleration.ts";
import { RAM_BYTES } from "./fakes.ts";
import { EDU, guestEntries, hardwareEntries, type KvmMachine, kvmMachine, NVME, used } from "./kvm-machine.ts";

const PCI0 = pciLiobn(0);
const PCI1 = pciLiobn(1);
const VIO = 0x7100_0001;
const PAGE = 4096;
const LIST = 0x8_0000;

const opened: KvmMachine[] = [];

function machine(options: Parameters<typeof kvmMachine>[0]): KvmMachine {
  const made = kvmMachine(options);
  opened.push(made);
  return made;
}

function window(m: KvmMachine, liobn: number) {
  return m.b.machine.tables.windows().find((each) => each.liobn === liobn);
}

/** Writes big-endian TCEs at LIST. */
function list(m: KvmMachine, entries: readonly number[]): number {
  entries.forEach((entry, index) => {
    m.b.ram.setU32be(LIST + index * 8, Math.floor(entry / 2 ** 32));
    m.b.ram.setU32be(LIST + index * 8 + 4, entry % 2 ** 32);
  });
  return LIST;
}

afterEach(() => {
  for (const each of opened.splice(0)) {
    each.close();
    each.model.close();
  }
});

describe("vmm TCE acceleration: which tables KVM keeps", () => {
  const facts = { kvm: true, canKeepTables: true, canLinkGroups: true, vfioAccel: true };
  const table: [TceUse, Partial<typeof facts>, string | undefined][] = [
    ["vio", {}, undefined],
    ["emulated", {}, undefined],
    ["vfio", {}, undefined],
    ["vio", { vfioAccel: false, canLinkGroups: false }, undefined],
    ["emulated", { vfioAccel: false, canLinkGroups: false }, undefined],
    ["vfio", { vfioAccel: false }, SWITCHED_OFF],
    ["vfio", { canLinkGroups: false }, NO_LINKS],
    ["vfio", { vfioAccel: false, canLinkGroups: false }, SWITCHED_OFF],
    ["vio", { canKeepTables: false }, NO_TABLES],
    ["emulated", { canKeepTables: false }, NO_TABLES],
    ["vfio", { canKeepTables: false, vfioAccel: false }, NO_TABLES],
    ["vio", { kvm: false }, NO_KVM],
    ["emulated", { kvm: false }, NO_KVM],
    ["vfio", { kvm: false, vfioAccel: false }, NO_KVM],
  ];

  it.each(table)("%s with %j: %s", (use, change, reason) => {
    expect(whyNotInKernel(use, { ...facts, ...change })).toBe(reason);
  });

  it.each([
    [{ kvm: true }, true, undefined],
    [{ kvm: true, vfioAccel: false }, false, SWITCHED_OFF],
    [{ kvm: true, facts: { canLinkGroups: false } }, false, NO_LINKS],
    [{ kvm: false }, false, NO_KVM],
  ])("a machine with %j and a passed-through function: in KVM %s", (options, inKernel, reason) => {
    const m = machine(options);
    expect(window(m, PCI0)).toMatchObject({ use: "emulated", inKernel: options.kvm });
    m.session.open(NVME);
    expect(window(m, PCI0)).toMatchObject({ use: "vfio", inKernel, open: true });
    expect(window(m, PCI0)?.reason).toBe(reason);
    expect(m.session.counters).toMatchObject({ windowsCreated: 1, linked: inKernel ? 1 : 0 });
    expect(m.call(H_PUT_TCE, PCI0, 0x3000, 0x5003)).toBe(H_SUCCESS);
    expect(m.session.counters.mapCalls).toBe(inKernel ? 0 : 1);
    expect(window(m, PCI0)?.userCalls).toBe(inKernel ? 0 : 1);
    expect(guestEntries(m.b, PCI0)).toEqual(["3: 0 5003"]);
    // Beside it, a VIO device's window does not care.
    expect(m.b.machine.tables.add({ liobn: VIO, pageShift: 12, busHi: 0, busLo: 0, entries: 64 }, "vio")).toBe(true);
    expect(window(m, VIO)).toMatchObject({ use: "vio", inKernel: options.kvm });
  });

  it("lets a table that KVM refuses live in user space, and says why", () => {
    const m = machine({ kvm: true });
    // KVM charges its tables to the process: with what is left, none of this size is possible.
    m.process.setrlimit?.("memlock", { soft: 0x1_0000, hard: 0x1_0000 });
    expect(m.b.machine.tables.add({ liobn: VIO, pageShift: 12, busHi: 0, busLo: 0, entries: 2 ** 20 }, "vio")).toBe(
      true,
    );
    expect(window(m, VIO)).toMatchObject({ inKernel: false, reason: expect.stringContaining("locked memory") });
    expect(m.call(H_PUT_TCE, VIO, 0x1000, 0x2003)).toBe(H_SUCCESS);
    expect(guestEntries(m.b, VIO)).toEqual(["1: 0 2003"]);
  });
});

describe("vmm TCE acceleration: one table for kernel, DMA and user space", () => {
  it("shows user space and emulated devices what KVM wrote, and KVM what user space wrote", () => {
    const m = machine({ kvm: true });
    const { machine: pseries, ram } = m.b;
    ram.writeBytes(0x6000, new Uint8Array([1, 2, 3]));
    expect(m.call(H_PUT_TCE, PCI0, 0x2000, 0x6001)).toBe(H_SUCCESS);
    expect(window(m, PCI0)?.userCalls).toBe(0);
    const into = new Uint8Array(3);
    const dma = (m.b.device as unknown as { dma: { read(hi: number, lo: number, into: Uint8Array): boolean } }).dma;
    m.b.machine.phb.slots[0]?.endpoint.writeConfig(4, 2, 6);
    expect(dma.read(0, 0x2000, into)).toBe(true);
    expect([...into]).toEqual([1, 2, 3]);
    const table = pseries.tables.find(PCI0);
    if (table) pseries.tables.store(table, 7, 0, 0x9003);
    expect(m.modelVm?.hypercall(H_GET_TCE, PCI0, 0x7000).values[0]).toBe(0x9003n);
  });

  it("replays entries that a window has when a function is passed through, whoever wrote them", () => {
    for (const vfioAccel of [true, false]) {
      const m = machine({ kvm: true, vfioAccel });
      expect(m.call(H_PUT_TCE_INDIRECT, PCI0, 0x4000, list(m, [0x1003, 0x3001]), 2)).toBe(H_SUCCESS);
      expect(window(m, PCI0)?.userCalls).toBe(0);
      m.session.open(NVME);
      expect(hardwareEntries(m)).toEqual(["4: 1000 3", "5: 3000 1"]);
      expect(guestEntries(m.b, PCI0)).toEqual(["4: 0 1003", "5: 0 3001"]);
      expect(m.session.counters).toMatchObject({ mapCalls: 2, mapErrors: 0 });
      // The kernel can take away what user space replayed.
      expect(m.call(H_STUFF_TCE, PCI0, 0x4000, 0, 2)).toBe(H_SUCCESS);
      expect(hardwareEntries(m)).toEqual([]);
      expect(m.session.counters.unmapCalls).toBe(vfioAccel ? 0 : 2);
    }
  });

  it("links every group of a container, and hands KVM's windows to those that come later", () => {
    const m = machine({ kvm: true });
    m.session.open(NVME);
    m.call(H_PUT_TCE, PCI0, 0x1000, 0x5003);
    m.session.open(EDU);
    expect(m.session.counters.linked).toBe(2);
    expect(hardwareEntries(m, EDU)).toEqual(["1: 5000 3"]);
    m.call(H_PUT_TCE, PCI0, 0x2000, 0x6003);
    expect(hardwareEntries(m, EDU)).toEqual(["1: 5000 3", "2: 6000 3"]);
    expect(m.session.counters.mapCalls).toBe(0);
  });

  it("takes the table out of KVM when a group cannot be linked, with its entries", () => {
    // 4.12 wants pages of the same size, and 2 MiB are made of 64 KiB here.
    const m = machine({ kvm: true, profile: "4.12", dmaWindowBytes: 0x4000_0000 });
    m.session.open(NVME);
    expect(window(m, PCI0)).toMatchObject({ inKernel: true });
    expect(m.b.machine.windows.create(21, 21)).toMatchObject({ ok: true, liobn: PCI1 });
    expect(window(m, PCI1)).toMatchObject({ inKernel: false, reason: expect.any(String) });
    expect(m.session.counters.linked).toBe(1);
    expect(m.call(H_PUT_TCE, PCI1, [0x0800_0000, 0], 0x3)).toBe(H_SUCCESS);
    expect(window(m, PCI1)?.userCalls).toBe(1);
  });

  it("takes the table out of KVM when KVM cannot be told of the group", () => {
    const m = machine({ kvm: true, taken: true });
    m.session.open(NVME);
    expect(window(m, PCI0)).toMatchObject({ inKernel: false, reason: "KVM was not told of the group" });
    expect(m.call(H_PUT_TCE, PCI0, 0x1000, 0x3003)).toBe(H_SUCCESS);
    expect(hardwareEntries(m)).toEqual(["1: 3000 3"]);
  });

  it("does not accelerate version 1 containers", () => {
    const m = machine({ kvm: true, profile: "3.11" });
    m.session.open(NVME);
    expect(window(m, PCI0)).toMatchObject({ inKernel: false });
    expect([VERSION_1, NO_LINKS]).toContain(window(m, PCI0)?.reason);
    expect(m.call(H_PUT_TCE, PCI0, 0x1000, 0x3003)).toBe(H_SUCCESS);
    expect(m.session.counters).toMatchObject({ mapCalls: 1, mapErrors: 0, windowsCreated: 0 });
  });

  it("follows windows that come and go at run time", () => {
    const m = machine({ kvm: true });
    m.session.open(NVME);
    for (let round = 0; round < 3; round++) {
      expect(m.b.machine.windows.create(16, 20)).toMatchObject({ ok: true, liobn: PCI1 });
      expect(window(m, PCI1)).toMatchObject({ inKernel: true, open: true });
      expect(m.call(H_PUT_TCE, PCI1, [0x0800_0000, 0x1_0000], 0x2_0003)).toBe(H_SUCCESS);
      expect(hardwareEntries(m, NVME, 1)).toEqual(["1: 20000 3"]);
      expect(m.b.machine.windows.remove(PCI1)).toBe(true);
      expect(window(m, PCI1)).toMatchObject({ open: false });
    }
    expect(m.session.counters).toMatchObject({ windowsCreated: 4, windowsRemoved: 3, linked: 4, mapCalls: 0 });
    m.b.machine.windows.reset();
    expect(window(m, PCI0)).toMatchObject({ inKernel: true, open: true });
    expect(m.call(H_PUT_TCE, PCI0, 0x1000, 0x3003)).toBe(H_SUCCESS);
    expect(hardwareEntries(m)).toEqual(["1: 3000 3"]);
  });
});

describe("vmm TCE acceleration: teardown", () => {
  it.each([
    { kvm: false },
    { kvm: true },
    { kvm: true, vfioAccel: false },
    { kvm: true, profile: "4.12" as const },
    { kvm: true, profile: "3.11" as const },
  ])("with %j leaves no descriptor, no locked page, no VM, no entry", (options) => {
    const m = machine(options);
    m.session.open(NVME);
    if (options.profile !== "3.11") m.session.open(EDU);
    m.b.machine.tables.add({ liobn: VIO, pageShift: 12, busHi: 0, busLo: 0, entries: 512 }, "vio");
    for (const liobn of [PCI0, VIO]) m.call(H_PUT_TCE_INDIRECT, liobn, 0x1000, list(m, [0x1003, 0x2003, 0x3001]), 3);
    if (options.profile !== "3.11") m.b.machine.windows.create(16, 20);
    const group = m.model.topology.find(NVME)?.group;
    const tables = group ? m.model.iommu?.tableGroupOf(group).tables : undefined;
    expect(m.process.mm.lockedPages).toBeGreaterThan(0);
    m.close();
    expect(m.process.fds.list()).toHaveLength(m.before.fds);
    expect(m.process.mm.lockedPages).toBe(0);
    expect(m.model.kvm.vms.size).toBe(0);
    expect(tables?.filter((each) => each !== null)).toEqual([]);
    expect(group?.owner).toBeNull();
    // The head of the process's list of registered memory, which is empty.
    expect(used(m.model)).toBe(m.before.words + 4);
  });
});

/** A call that PAPR defines: whole pages of the window, RAM behind permissions, READ with WRITE. */
const call = fc.record({
  kind: fc.constantFrom("put", "indirect", "stuff"),
  index: fc.nat(255),
  count: fc.integer({ min: 1, max: 40 }),
  page: fc.nat(RAM_BYTES / PAGE - 64),
  permissions: fc.constantFrom(0, 1, 3, 3),
});

describe("vmm TCE acceleration: with and without KVM", () => {
  it("the same calls leave the same tables and the same mappings, in every stage", () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 60 }), fc.nat(59), (calls, late) => {
        const machines = [
          { kvm: false },
          { kvm: true, realMode: false },
          { kvm: true, realMode: true },
          { kvm: true, vfioAccel: false },
        ].map((options) => machine(options));
        calls.forEach(({ kind, index, count: wanted, page, permissions }, step) => {
          const count = Math.min(wanted, 256 - index);
          const tce = permissions === 0 ? 0 : page * PAGE + permissions;
          const results = machines.map((m) => {
            if (step === late % calls.length) m.session.open(NVME);
            if (kind === "put") return m.call(H_PUT_TCE, PCI0, index * PAGE, tce);
            if (kind === "stuff") return m.call(H_STUFF_TCE, PCI0, index * PAGE, 0, count);
            // Entries of a list without permissions are counted as mapped by the kernel: PAPR guests do not write them.
            const entries = Array.from({ length: count }, (_, i) => (page + i) * PAGE + (permissions || 1));
            return m.call(H_PUT_TCE_INDIRECT, PCI0, index * PAGE, list(m, entries), count);
          });
          expect(results).toEqual(results.map(() => H_SUCCESS));
        });
        const [first, ...rest] = machines as [KvmMachine, ...KvmMachine[]];
        for (const each of rest) {
          expect(guestEntries(each.b, PCI0)).toEqual(guestEntries(first.b, PCI0));
          expect(hardwareEntries(each)).toEqual(hardwareEntries(first));
        }
        expect(machines[1]?.b.machine.tables.windows()[0]).toMatchObject({ inKernel: true, userCalls: 0 });
        for (const each of machines) {
          expect(each.session.counters).toMatchObject({ mapErrors: 0, unmapErrors: 0, windowErrors: 0 });
          each.close();
          expect(each.process.mm.lockedPages).toBe(0);
          each.model.close();
        }
        opened.length = 0;
      }),
      { numRuns: 12 },
    );
  });
});
