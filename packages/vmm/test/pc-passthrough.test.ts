// A function of a modelled host in a guest of machine pc: what the guest finds in its registers, and how its interrupts
// reach the guest through KVM.
import { ENOSPC, MAP_ANONYMOUS, MAP_SHARED } from "@minivmm/host";
import { type HostDescription, modelHostDescription } from "@minivmm/model-host";
import { describe, expect, it } from "vitest";
import { IO_WINDOW, MEM32_WINDOW, pciGsi } from "../src/machines/pc/memory-map.ts";
import { extendedCapabilities, PcBench, spawn, stillHost } from "./pc-bench.ts";
import { MSIX_PBA, MSIX_TABLE, NvmeGuest } from "./pc-nvme.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const EDU_IDENT = 0x0100_00ed;
const EDU_RAISE = 0x60;
const EDU_ACK = 0x64;

/** The disk of `desktop` with MSI in place of MSI-X. */
const WITH_MSI: HostDescription = modelHostDescription("desktop");
for (const { children = [] } of WITH_MSI.domains[0]?.devices ?? []) {
  for (const fn of children) if (fn.model === "nvme") fn.options = { ...fn.options, interrupts: "msi" };
}

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

/** Functions of a ready-made host in slots 1 and up, and its time. */
function guestWith(which: string | HostDescription, functions: readonly string[], options = {}) {
  const { model, clock } = stillHost(which, options);
  const bench = new PcBench({ model, devices: functions.map((host) => ({ driver: "vfio-pci", host })) });
  return { bench, clock, model, [Symbol.dispose]: () => bench[Symbol.dispose]() };
}

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

describe("pc passthrough: DMA and MSI-X", () => {
  function nvmeGuest(options = {}) {
    const guest = guestWith("desktop", [NVME], options);
    const nvme = new NvmeGuest(guest.bench, 1);
    nvme.start();
    return { ...guest, nvme };
  }

  it("a controller works on queues in guest RAM, and sends messages through KVM", () => {
    using guest = nvmeGuest();
    const { nvme, bench } = guest;
    nvme.setVector(0, 0x41);
    nvme.setMsix(true);
    expect(bench.vm.irqfds.size).toBe(1);
    nvme.identify();
    expect(nvme.statusOf()).toBe(0);
    expect(nvme.serial()).toBe("guest-disk");
    expect(bench.interrupts.take()).toEqual(["message fee00000 41"]);
    // KVM has sent it, not this program.
    expect(bench.box.machine.delivered).toEqual({ lines: 0, messages: 0 });
    expect(bench.problems()).toEqual([]);
  });

  it("reaches no memory but RAM: what queues point elsewhere stops the controller", () => {
    using guest = nvmeGuest();
    const { nvme, bench } = guest;
    nvme.identify(bench.ram.size - 4096);
    expect(nvme.statusOf()).toBe(0);
    nvme.identify(bench.ram.size);
    expect(nvme.statusOf()).not.toBe(0);
    new NvmeGuest(bench, 1, bench.ram.size).start();
    nvme.fn.setReg(0x1000, 1);
    expect(nvme.status & 2).toBe(2);
  });

  it("has no DMA while the guest does not let it master the bus", () => {
    using guest = nvmeGuest();
    const { nvme } = guest;
    nvme.fn.setConfig(4, 3, 2);
    nvme.identify();
    expect(nvme.statusOf()).toBe(-1);
    expect(nvme.serial()).not.toBe("guest-disk");
  });

  it("keeps a masked vector's message as a pending bit, and sends it when the mask goes", () => {
    using guest = nvmeGuest();
    const { nvme, bench } = guest;
    nvme.setVector(0, 0x41);
    nvme.setMsix(true);
    nvme.mask(0, true);
    expect(bench.vm.irqfds.size).toBe(0);
    nvme.identify();
    nvme.identify();
    expect(nvme.pending(0)).toBe(true);
    expect(bench.interrupts.take()).toEqual([]);
    nvme.mask(0, false);
    expect(bench.interrupts.take()).toEqual(["message fee00000 41"]);
    expect(nvme.pending(0)).toBe(false);
    expect(bench.vm.irqfds.size).toBe(1);
  });

  it("sends it too when the guest has not looked", () => {
    using guest = nvmeGuest();
    const { nvme, bench } = guest;
    nvme.setVector(0, 0x41);
    nvme.setMsix(true, true);
    nvme.mask(0, false);
    nvme.identify();
    expect(bench.interrupts.take()).toEqual([]);
    nvme.setMsix(true);
    expect(bench.interrupts.take()).toEqual(["message fee00000 41"]);
  });

  it("sends what the table says at that moment", () => {
    using guest = nvmeGuest();
    const { nvme, bench } = guest;
    nvme.setVector(0, 0x41);
    nvme.setMsix(true);
    nvme.setVector(0, 0x92);
    nvme.fn.setReg(MSIX_TABLE + 4, 0x1234);
    nvme.identify();
    expect(bench.interrupts.take()).toEqual(["message 1234fee00000 92"]);
    expect([0, 4, 8, 12].map((at) => nvme.fn.reg(MSIX_TABLE + at))).toEqual([0xfee0_0000, 0x1234, 0x92, 0]);
    nvme.fn.setReg(MSIX_PBA, 0xffff_ffff);
    expect(nvme.fn.reg(MSIX_PBA)).toBe(0);
  });

  it.each(["6.12", "6.1"] as const)("takes vectors into use one after the other, on Linux %s", (profile) => {
    using guest = nvmeGuest({ profile });
    const { nvme, bench } = guest;
    nvme.setVector(0, 0x41);
    nvme.setMsix(true);
    const queues = [5, 2, 9].map((vector, index) => {
      nvme.setVector(vector, 0x50 + vector);
      return nvme.queuePair(index + 1, 0x3_0000 + index * 0x2000, vector);
    });
    expect(bench.interrupts.take()).toHaveLength(6);
    expect(bench.vm.irqfds.size).toBe(4);
    for (const queue of queues) {
      nvme.readBlock(queue, 0x4_0000);
      expect(nvme.statusOf(queue)).toBe(0);
    }
    expect(bench.interrupts.take()).toEqual(["message fee00000 55", "message fee00000 52", "message fee00000 59"]);
    nvme.identify();
    expect(bench.interrupts.take()).toEqual(["message fee00000 41"]);
    expect(bench.problems()).toEqual([]);
  });

  it("goes back to the pin when MSI-X is off, and gives vectors back", () => {
    using guest = nvmeGuest();
    const { nvme, bench } = guest;
    const descriptors = bench.process.fds.list().length;
    const gsi = nvme.fn.config(0x3c, 1);
    nvme.setVector(3, 0x43);
    nvme.setMsix(true);
    nvme.setMsix(false);
    nvme.identify();
    expect(bench.interrupts.take()).toEqual([`line ${gsi} up`]);
    expect(bench.process.fds.list()).toHaveLength(descriptors);
    expect(bench.vm.irqfds.size).toBe(1);
  });
});

describe("pc passthrough: MSI and pins", () => {
  it("sends the one message of a conventional function", () => {
    using guest = guestWith("desktop", [EDU]);
    const { bench } = guest;
    const edu = bench.slot(1);
    edu.enable();
    edu.setMsi(0x61);
    edu.setReg(EDU_RAISE, 1);
    edu.setReg(EDU_ACK, 1);
    edu.setMsi(0x62);
    edu.setReg(EDU_RAISE, 1);
    expect(bench.interrupts.take()).toEqual(["message fee00000 61", "message fee00000 62"]);
    expect(edu.config(edu.capability(5) + 12, 2)).toBe(0x62);
  });

  function withMsi(interruptRemapping: boolean) {
    const { model } = stillHost(WITH_MSI, { interruptRemapping });
    const process = spawn(model);
    process.writeFile("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "1");
    const bench = new PcBench({ model, process, devices: [{ driver: "vfio-pci", host: NVME }] });
    const nvme = new NvmeGuest(bench, 1);
    nvme.start();
    nvme.fn.setMsi(0x70, 4);
    return { bench, nvme };
  }

  it("sends several messages of a function that has them", () => {
    const { bench, nvme } = withMsi(true);
    using _ = bench;
    const queues = [2, 3].map((vector) => nvme.queuePair(vector, 0x3_0000 + vector * 0x2000, vector));
    bench.interrupts.take();
    nvme.identify();
    for (const queue of queues) nvme.readBlock(queue, 0x4_0000);
    expect(bench.interrupts.take()).toEqual(["message fee00000 70", "message fee00000 72", "message fee00000 73"]);
    expect(bench.problems()).toEqual([]);
  });

  it("takes the one that a host without interrupt remapping has to give", () => {
    const { bench, nvme } = withMsi(false);
    using _ = bench;
    nvme.identify();
    expect(nvme.serial()).toBe("guest-disk");
    expect(bench.interrupts.take()).toEqual(["message fee00000 70"]);
    // The controller knows that it has one.
    nvme.queuePair(2, 0x3_0000, 2);
    expect(nvme.statusOf()).not.toBe(0);
    expect(bench.problems()).toEqual([]);
  });

  it("holds a pin's line high until the guest has ended it and the device is quiet", () => {
    using guest = guestWith("desktop", [EDU]);
    const { bench } = guest;
    const edu = bench.slot(1);
    const gsi = edu.config(0x3c, 1);
    edu.enable();
    edu.setReg(EDU_RAISE, 1);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} up`]);
    // Ended before the device was asked to be quiet: it asks again.
    bench.vm.irqfds.endOfInterrupt(gsi);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} down`, `line ${gsi} up`]);
    edu.setReg(EDU_ACK, 1);
    bench.vm.irqfds.endOfInterrupt(gsi);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} down`]);
    edu.setReg(EDU_RAISE, 2);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} up`]);
  });

  it("a disabled pin is silent, and speaks when it is enabled again", () => {
    using guest = guestWith("desktop", [EDU]);
    const { bench } = guest;
    const edu = bench.slot(1);
    edu.enable();
    edu.setConfig(4, 0x407, 2);
    edu.setReg(EDU_RAISE, 1);
    expect(bench.interrupts.take()).toEqual([]);
    edu.setConfig(4, 7, 2);
    expect(bench.interrupts.take()).toEqual([`line ${edu.config(0x3c, 1)} up`]);
  });

  it("two functions share a line", () => {
    const { model } = stillHost("desktop");
    using bench = new PcBench({
      model,
      devices: [
        { driver: "vfio-pci", host: EDU, slot: 3 },
        { driver: "vfio-pci", host: "04:01.0", slot: 11 },
      ],
    });
    const both = [bench.slot(3), bench.slot(11)] as const;
    const gsi = both[0].config(0x3c, 1);
    expect(both[1].config(0x3c, 1)).toBe(gsi);
    for (const edu of both) {
      edu.enable();
      edu.setReg(EDU_RAISE, 1);
    }
    expect(bench.interrupts.take()).toEqual([`line ${gsi} up`]);
    both[0].setReg(EDU_ACK, 1);
    bench.vm.irqfds.endOfInterrupt(gsi);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} down`, `line ${gsi} up`]);
    both[1].setReg(EDU_ACK, 1);
    bench.vm.irqfds.endOfInterrupt(gsi);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} down`]);
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
  /** A modelled device's registers are no memory, so memory stands in for them. */
  function mappingGuest(...functions: string[]) {
    const { model } = stillHost("desktop");
    const process = spawn(model);
    const mmap = process.mmap.bind(process);
    process.mmap = ({ fd, offset, ...rest }) => {
      const flags = fd === undefined ? rest.flags : MAP_SHARED | MAP_ANONYMOUS;
      return mmap({ ...rest, flags });
    };
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
    // Sizing writes all ones, which is outside the window.
    fn.setConfig(0x10, 0xffff_ffff);
    fn.setConfig(0x14, 0xffff_ffff);
    expect(shown()).toEqual([]);
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
