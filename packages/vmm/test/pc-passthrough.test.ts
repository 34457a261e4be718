// A function of a modelled host in a guest of machine pc: what the guest finds in configuration space and behind BARs.
import { ENOSPC } from "@minivmm/host";
import type { HostDescription } from "@minivmm/model-host";
import { describe, expect, it } from "vitest";
import { IO_WINDOW, MEM32_WINDOW, pciGsi } from "../src/machines/pc/memory-map.ts";
import { extendedCapabilities, guestWith, PcBench, registersAsMemory, spawn, stillHost } from "./pc-bench.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const EDU_IDENT = 0x0100_00ed;

const smallBar = (index: number) => ({ index, type: "mem32", size: 0x100 });
const WITH_SMALL_BARS: HostDescription = {
  name: "small",
  arch: "x86_64",
  iommu: { kind: "type1" },
  domains: [
    {
      domain: 0,
      devices: [
        {
          at: "01.0",
          model: "passive",
          options: { vendor: 0x8086, device: 0x100e, classCode: 0x02_0000, bars: [smallBar(0), smallBar(1)] },
          driver: "vfio-pci",
        },
      ],
    },
  ],
};

describe("pc passthrough: configuration space", () => {
  it("shows an Express function as one of the root complex, without a link", () => {
    using guest = guestWith("desktop", [NVME]);
    const fn = guest.bench.slot(1);
    const host = guest.model.topology.get(NVME);
    const express = fn.capability(0x10);
    expect(fn.config(0)).toBe(0x0010_1b36);
    expect((host.readConfig(express + 2, 2) >> 4) & 0xf).toBe(0);
    expect((fn.config(express + 2, 2) >> 4) & 0xf).toBe(9);
    for (const link of [0x0c, 0x10, 0x2c]) expect(fn.config(express + link)).toBe(0);
    expect(fn.config(express + 4)).toBe(host.readConfig(express + 4, 4));
  });

  it("gives BARs addresses, and turns decoding on but no DMA", () => {
    using guest = guestWith("q35", ["0000:05:00.0"]);
    const fn = guest.bench.slot(1);
    const [registers, flash, ports, messages] = [0, 1, 2, 3].map((index) => fn.bar(index)) as [
      number,
      number,
      number,
      number,
    ];
    expect(fn.config(4, 2) & 7).toBe(3);
    for (const [address, size] of [
      [registers, 0x2_0000],
      [flash, 0x2_0000],
      [messages, 0x4000],
    ] as const) {
      expect(address % size).toBe(0);
      expect(address).toBeGreaterThanOrEqual(MEM32_WINDOW.start);
    }
    expect(new Set([registers, flash, messages]).size).toBe(3);
    expect(ports).toBeGreaterThanOrEqual(IO_WINDOW.start);
    expect(guest.model.topology.get("0000:05:00.0").bars.some(({ address }) => address === registers)).toBe(false);
    // The device's boot ROM is nothing of the guest's.
    expect(fn.config(0x30)).toBe(0);
    fn.setConfig(0x30, 0xffff_ffff);
    expect(fn.config(0x30)).toBe(0);
  });

  it("finds the same registers through ports and through ECAM, and ones where nothing is", () => {
    using guest = guestWith("desktop", [NVME]);
    const fn = guest.bench.slot(1);
    for (let offset = 0; offset < 256; offset += 4) expect(fn.configByPorts(offset)).toBe(fn.config(offset));
    expect(fn.configByPorts(2, 2)).toBe(0x0010);
    expect(guest.bench.slot(2).config(0)).toBe(0xffff_ffff);
    expect(guest.bench.slot(2).configByPorts(0)).toBe(0xffff_ffff);
    // Function 1 of the slot.
    expect(guest.bench.read(0xe000_0000 + (1 << 15) + (1 << 12))).toBe(0xffff_ffff);
  });

  it("tells a driver the size of a BAR, and has it decoded where the driver puts it", () => {
    using guest = guestWith("desktop", [EDU]);
    const fn = guest.bench.slot(1);
    const before = fn.bar(0);
    expect(guest.bench.read(before)).toBe(EDU_IDENT);
    fn.setConfig(0x10, 0xffff_ffff);
    expect(fn.config(0x10)).toBe(0xfff0_0000);
    fn.setConfig(0x10, before + 0x40_0000);
    expect(guest.bench.read(before + 0x40_0000)).toBe(EDU_IDENT);
    expect(guest.bench.read(before)).toBe(0xffff_ffff);
    fn.setConfig(4, 0, 2);
    expect(guest.bench.read(before + 0x40_0000)).toBe(0xffff_ffff);
  });

  it("says which input of the I/O APIC a pin leads to", () => {
    using guest = guestWith("q35", ["0000:00:1d.0", "0000:00:1d.1", "0000:00:1d.7", "0000:00:01.0"]);
    for (const slot of [1, 2, 3, 4]) {
      const fn = guest.bench.slot(slot);
      expect(fn.config(0x3c, 1)).toBe(pciGsi(slot, fn.config(0x3d, 1)));
    }
    expect(guest.bench.slot(2).config(0x3d, 1)).toBe(2);
  });

  it("hides SR-IOV and ARI, which only who owns the bus can use", () => {
    using guest = guestWith("q35", ["0000:0a:00.0"]);
    const host = guest.model.topology.get("0000:0a:00.0");
    const [ari, sriov] = [0x0e, 0x10];
    expect(extendedCapabilities((at) => host.readConfig(at, 4))).toEqual([ari, sriov]);
    expect(extendedCapabilities((at) => guest.bench.slot(1).config(at))).toEqual([0, 0]);
  });

  it("makes a function of many one of its own", () => {
    using guest = guestWith("q35", ["0000:02:00.0"]);
    expect(guest.model.topology.get("0000:02:00.0").readConfig(0x0e, 1)).toBe(0x80);
    expect(guest.bench.slot(1).config(0x0e, 1)).toBe(0);
  });
});

describe("pc passthrough: ports and small BARs", () => {
  it("reaches a function's ports, also where the guest moves them", () => {
    using guest = guestWith("q35", ["0000:00:1d.0"]);
    const { machine } = guest.bench.box;
    const uhci = guest.bench.slot(1);
    const ports = uhci.bar(4);
    const SOF = 0x0c;
    const FRAME_LIST = 0x08;
    expect(machine.readPort(ports + SOF, 1)).toBe(0x40);
    machine.writePort(ports + FRAME_LIST, 4, 0x1234_5000);
    expect(machine.readPort(ports + FRAME_LIST, 4)).toBe(0x1234_5000);
    expect(machine.readPort(ports + FRAME_LIST + 2, 2)).toBe(0x1234);
    uhci.setConfig(0x20, ports + 0x100);
    expect(machine.readPort(ports + FRAME_LIST, 4)).toBe(0xffff_ffff);
    expect(machine.readPort(ports + 0x100 + FRAME_LIST, 4)).toBe(0x1234_5000);
    uhci.setConfig(4, 2, 2);
    expect(machine.readPort(ports + 0x100 + FRAME_LIST, 4)).toBe(0xffff_ffff);
  });

  it("a controller with ports does DMA and interrupts by its pin", () => {
    using guest = guestWith("q35", ["0000:00:1d.0"]);
    const { bench, clock } = guest;
    const { machine } = bench.box;
    const uhci = bench.slot(1);
    const ports = uhci.bar(4);
    const [LIST, DESCRIPTOR, ACTIVE, INTERRUPT] = [0x1_0000, 0x2_0000, 0x0080_0000, 0x0100_0000];
    for (let frame = 0; frame < 1024; frame++) bench.ram.low.setU32le(LIST + frame * 4, DESCRIPTOR);
    bench.ram.low.setU32le(DESCRIPTOR, 1);
    bench.ram.low.setU32le(DESCRIPTOR + 4, ACTIVE | INTERRUPT);
    uhci.enable();
    machine.writePort(ports + 8, 4, LIST);
    machine.writePort(ports + 4, 2, 0xf);
    machine.writePort(ports, 2, 1);
    clock.advance(5);
    expect(bench.ram.low.u32le(DESCRIPTOR + 4) & ACTIVE).toBe(0);
    expect(bench.interrupts.take()).toEqual([`line ${uhci.config(0x3c, 1)} up`]);
  });

  it("traps BARs that are smaller than a page, each in a page of its own", () => {
    using guest = guestWith(WITH_SMALL_BARS, ["0000:00:01.0"]);
    const { bench } = guest;
    const fn = bench.slot(1);
    const [first, second] = [fn.bar(0), fn.bar(1)];
    expect([first % 4096, second % 4096]).toEqual([0, 0]);
    expect(first).not.toBe(second);
    bench.write(first + 0xfc, 0x1111_1111);
    bench.write(second + 0xfc, 0x2222_2222);
    expect([bench.read(first + 0xfc), bench.read(second + 0xfc)]).toEqual([0x1111_1111, 0x2222_2222]);
    expect(bench.read(first + 0x100)).toBe(0xffff_ffff);
    // Side by side in one page works as well.
    fn.setConfig(0x14, first + 0x100);
    expect([bench.read(first + 0xfc), bench.read(first + 0x1fc)]).toEqual([0x1111_1111, 0x2222_2222]);
    expect(bench.box.devices.deviceSummaries()[0]?.directBytes).toBe(0);
  });
});

describe("pc passthrough: BARs without exits", () => {
  function mappingGuest(...functions: string[]) {
    const { model } = stillHost("desktop");
    const process = spawn(model);
    registersAsMemory(process);
    const devices = functions.map((host) => ({ driver: "vfio-pci" as const, host }));
    const bench = new PcBench({ model, process, devices });
    /** What of the guest's memory is neither RAM nor trapped. */
    const shown = (): [start: number, size: number][] =>
      [...bench.vm.slots.values()]
        .filter(({ start }) => start >= MEM32_WINDOW.start)
        .map(({ start, size }) => [start, size] as [number, number])
        .sort((a, b) => a[0] - b[0]);
    return { bench, shown };
  }

  it("shows KVM a BAR where the guest has it, but for the pages of MSI-X", () => {
    const { bench, shown } = mappingGuest(NVME);
    using _ = bench;
    const fn = bench.slot(1);
    const address = fn.bar(0);
    expect(shown()).toEqual([[address, 0x2000]]);
    expect(bench.box.devices.deviceSummaries()[0]).toMatchObject({ directBytes: 0x2000, problems: [] });
    fn.setConfig(4, 0, 2);
    expect(shown()).toEqual([]);
    fn.setConfig(0x10, address + 0x10_0000);
    fn.setConfig(4, 2, 2);
    expect(shown()).toEqual([[address + 0x10_0000, 0x2000]]);
    // The mapping itself is kept, and goes with the VM: it would keep the device open.
    const areas = bench.process.mm.areas.length;
    // Sizing writes all ones, which is outside the window.
    fn.setConfig(0x10, 0xffff_ffff);
    fn.setConfig(0x14, 0xffff_ffff);
    expect(shown()).toEqual([]);
    bench.box.close();
    expect(bench.process.mm.areas).toHaveLength(areas - 1);
  });

  it("shows nothing where two BARs lie on one another, and both when they part", () => {
    const { bench, shown } = mappingGuest(NVME, EDU);
    using _ = bench;
    const [nvme, edu] = [bench.slot(1), bench.slot(2)];
    const [place, other] = [nvme.bar(0), edu.bar(0)];
    expect(shown()).toHaveLength(2);
    nvme.setConfig(0x10, other + 0x4000);
    // The lower slot answers, at its page of registers too.
    expect(shown()).toEqual([[other + 0x4000, 0x2000]]);
    expect(bench.read(other + 0x4008)).toBe(0x1_0400);
    expect(bench.read(other)).toBe(EDU_IDENT);
    nvme.setConfig(0x10, place);
    expect(shown()).toEqual(
      [
        [place, 0x2000],
        [other, 0x10_0000],
      ].sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0)),
    );
  });

  it("reports what KVM does not take, and traps it", () => {
    const { bench, shown } = mappingGuest(NVME);
    using _ = bench;
    const fn = bench.slot(1);
    const address = fn.bar(0);
    fn.setConfig(4, 0, 2);
    const set = bench.vm.slots.set.bind(bench.vm.slots);
    bench.vm.slots.set = (request) => (request.memory_size > 0n ? -ENOSPC : set(request));
    fn.setConfig(4, 2, 2);
    expect(shown()).toEqual([]);
    expect(bench.problems()).toEqual([expect.stringMatching(/^show BAR 0 to the guest at 0xc.*ENOSPC.*are trapped$/)]);
    expect(bench.read(address + 8)).toBe(0x1_0400);
  });
});
