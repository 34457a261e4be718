// DMA and interrupts of a function of a modelled host in a guest of machine pc: MSI-X, MSI and pins, through KVM.
import { type HostDescription, modelHostDescription } from "@minivmm/model-host";
import { describe, expect, it } from "vitest";
import { guestWith, PcBench, spawn, stillHost } from "./pc-bench.ts";
import { MSIX_PBA, MSIX_TABLE, NvmeGuest } from "./pc-nvme.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const EDU_RAISE = 0x60;
const EDU_ACK = 0x64;

/** The disk of `desktop` with MSI in place of MSI-X. */
const WITH_MSI: HostDescription = modelHostDescription("desktop");
for (const { children = [] } of WITH_MSI.domains[0]?.devices ?? []) {
  for (const fn of children) if (fn.model === "nvme") fn.options = { ...fn.options, interrupts: "msi" };
}

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

  it("a line that the host does not share is missed once, and had when it is free", () => {
    const [first, second] = ["0000:00:01.0", "0000:00:05.0"] as const;
    using guest = guestWith("q35", [first, second], { nointxmask: true });
    const { bench } = guest;
    const [owner, waiting] = [bench.slot(1), bench.slot(2)];
    waiting.enable();
    waiting.setReg(EDU_RAISE, 1);
    expect(bench.interrupts.take()).toEqual([]);
    expect(bench.problems("dev1").filter((each) => each.startsWith("enable intx"))).toEqual([
      expect.stringMatching(/^enable intx: 0000:00:05\.0 cannot enable INTx: line \d+ of the host is used/),
    ]);
    owner.setMsi(0x51);
    waiting.setConfig(0x3c, waiting.config(0x3c, 1), 1);
    expect(bench.interrupts.take()).toEqual([`line ${waiting.config(0x3c, 1)} up`]);
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
