// How a VM of machine pc comes by its devices: containers, iommufds, descriptors that somebody else opened, and devices on
// another host than KVM.
import { O_RDWR } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import { type HostDescription, type ModelledHost, modelHostDescription } from "@minivmm/model-host";
import { groupNode, iommuGroupOf } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import type { PcDeviceConfig } from "../src/machines/pc/devices.ts";
import { HIGH_RAM_START } from "../src/machines/pc/memory-map.ts";
import { allocateRam, PcRam } from "../src/machines/pc/ram.ts";
import { MIB, makeBox, PcBench, RAM_BYTES, spawn, stillHost } from "./pc-bench.ts";
import { NvmeGuest } from "./pc-nvme.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const BRIDGED = ["0000:04:01.0", "0000:04:02.0"] as const;
const RAM_PAGES = RAM_BYTES / 4096;

const vfio = (host: string, rest: object = {}): PcDeviceConfig => ({ driver: "vfio-pci", host, ...rest });

/** The controller of `desktop` works: DMA both ways, and a message. */
function expectWorkingDisk(bench: PcBench, slot = 1): void {
  const nvme = new NvmeGuest(bench, slot);
  nvme.start();
  nvme.setVector(0, 0x41);
  nvme.setMsix(true);
  nvme.identify();
  expect(nvme.serial()).toBe("guest-disk");
  expect(bench.interrupts.take()).toEqual(["message fee00000 41"]);
}

/** `desktop`, on a kernel with iommufd. */
function withIommufd(kernelConfig: HostDescription["kernelConfig"]): HostDescription {
  return { ...modelHostDescription("desktop"), kernelConfig: { iommufd: true, ...kernelConfig } };
}

/** Somebody with all rights opens a node, and a process without any gets the descriptor. */
function handOver(model: ModelledHost, user: ModelProcess, path: string): number {
  const root = model.spawn();
  const file = root.fileOf(root.open(path, O_RDWR));
  if (file === undefined) throw new Error(`${path} cannot be opened`);
  const fd = user.install(file.get());
  root.exit();
  return fd;
}

/** Whether anybody can have the group. */
function groupIsFree(model: ModelledHost, bdf: string): boolean {
  const other = model.spawn();
  const fd = other.open(groupNode(other, iommuGroupOf(other, bdf)), O_RDWR);
  other.exit();
  return fd >= 0;
}

describe("pc passthrough: containers", () => {
  it("functions share a container, whose RAM is locked once", () => {
    const { model } = stillHost("desktop");
    using bench = new PcBench({ model, devices: [vfio(NVME), vfio(EDU), ...BRIDGED.map((bdf) => vfio(bdf))] });
    expect(bench.box.devices.domainSummaries()).toEqual([
      { name: "default", functions: [NVME, EDU, ...BRIDGED], mappedBytes: RAM_BYTES, enforcesSnoop: true },
    ]);
    expect(bench.process.mm.lockedPages).toBe(RAM_PAGES);
    // KVM has heard of each group: the last two functions are in one.
    expect(bench.vm.assignedDeviceCount).toBe(3);
    expect(bench.vm.noncoherentDmaCount).toBe(0);
    expectWorkingDisk(bench);
  });

  it("functions whose containers have names are in domains of their own", () => {
    const { model } = stillHost("desktop");
    using bench = new PcBench({ model, devices: [vfio(EDU), vfio(NVME, { container: "disks" })] });
    const summaries = bench.box.devices.domainSummaries();
    expect(summaries.map(({ name, functions }) => [name, ...functions])).toEqual([
      ["default", EDU],
      ["disks", NVME],
    ]);
    expect(bench.process.mm.lockedPages).toBe(2 * RAM_PAGES);
    expect(bench.vm.assignedDeviceCount).toBe(2);
    expectWorkingDisk(bench, 2);
  });

  it("DMA reaches RAM above 4 GiB too, and nothing between", () => {
    const devices = [[vfio(NVME)], [vfio(NVME, { iommufd: { id: "i" } })]];
    for (const each of devices) {
      const { model } = stillHost(withIommufd({ deviceCdev: true }));
      const ram = new PcRam({
        pieces: [0, HIGH_RAM_START].map((start) => ({
          start,
          buffer: allocateRam(MIB).pieces[0]?.buffer as SharedArrayBuffer,
        })),
      });
      using bench = new PcBench({ model, devices: each, ram });
      const nvme = new NvmeGuest(bench, 1);
      nvme.start();
      nvme.identify(HIGH_RAM_START + 0x8000);
      expect([nvme.statusOf(), nvme.serial(HIGH_RAM_START + 0x8000)]).toEqual([0, "guest-disk"]);
      nvme.identify(HIGH_RAM_START + MIB);
      expect(nvme.statusOf()).not.toBe(0);
      nvme.identify(0xfee0_0000);
      expect(nvme.statusOf()).not.toBe(0);
      expect([...bench.vm.slots.values()].map(({ start, size }) => [start, size])).toEqual([
        [0, MIB],
        [HIGH_RAM_START, MIB],
      ]);
      expect(bench.box.devices.domainSummaries()[0]?.mappedBytes).toBe(2 * MIB);
    }
  });

  it("KVM hears of DMA that does not snoop", () => {
    const { model } = stillHost("q35");
    using bench = new PcBench({ model, devices: [vfio("0000:01:00.0")] });
    expect(bench.box.devices.domainSummaries()[0]?.enforcesSnoop).toBe(false);
    expect(bench.vm.noncoherentDmaCount).toBe(1);
    bench.box.close();
    expect(bench.vm.noncoherentDmaCount).toBe(0);
  });

  it("works on descriptors that it was handed, and leaves them open", () => {
    const { model } = stillHost("desktop");
    const process = spawn(model, { root: false });
    const groupFd = handOver(model, process, groupNode(process, iommuGroupOf(process, NVME)));
    const containerFd = handOver(model, process, "/dev/vfio/vfio");
    using bench = new PcBench({ model, process, devices: [vfio(NVME, { groupFd, containerFd })] });
    expect(bench.box.devices.domainSummaries()[0]?.name).toBe(`descriptor ${containerFd}`);
    expectWorkingDisk(bench);
    bench.box.close();
    expect(process.fds.list()).toEqual([groupFd, containerFd]);
    expect(process.mm.lockedPages).toBe(0);
    expect(groupIsFree(model, NVME)).toBe(false);
    process.close(groupFd);
    expect(groupIsFree(model, NVME)).toBe(true);
  });

  it("can be given the same descriptors again after it was refused something", () => {
    const { model } = stillHost("desktop");
    const process = spawn(model, { memlock: MIB });
    const groupFd = process.open(groupNode(process, iommuGroupOf(process, NVME)), O_RDWR);
    const containerFd = process.open("/dev/vfio/vfio", O_RDWR);
    const devices = [vfio(NVME, { groupFd, containerFd })];
    expect(() => makeBox(process, devices)).toThrow(/locked memory/);
    expect(process.fds.list()).toEqual([groupFd, containerFd]);
    const ram = new PcRam(allocateRam(MIB));
    using bench = new PcBench({ model, process, devices, ram });
    expectWorkingDisk(bench);
  });

  it("functions that name the same descriptor share it", () => {
    const { model } = stillHost("desktop");
    const process = spawn(model);
    const containerFd = process.open("/dev/vfio/vfio", O_RDWR);
    const devices = [vfio(NVME, { containerFd }), vfio(EDU, { containerFd }), vfio(BRIDGED[0])];
    using bench = new PcBench({ model, process, devices });
    expect(bench.box.devices.domainSummaries().map(({ functions }) => functions)).toEqual([[NVME, EDU], [BRIDGED[0]]]);
    expect(process.mm.lockedPages).toBe(2 * RAM_PAGES);
    expectWorkingDisk(bench);
  });

  it("an iommufd serves as a container, opened here or handed in", () => {
    for (const path of [undefined, "/dev/iommu"]) {
      const { model } = stillHost(withIommufd({ container: "iommufd" }));
      const process = spawn(model);
      const given = path === undefined ? {} : { containerFd: process.open(path, O_RDWR) };
      using bench = new PcBench({ model, process, devices: [vfio(NVME, given), vfio(EDU, given)] });
      expectWorkingDisk(bench);
      expect(bench.vm.assignedDeviceCount).toBe(2);
      expect(bench.box.devices.problems).toEqual([]);
    }
  });
});

describe("pc passthrough: iommufds", () => {
  const MODERN = withIommufd({ deviceCdev: true });
  const iommufd = { id: "iommufd0" };

  it("opens devices by their own nodes and attaches them to one address space", () => {
    const { model } = stillHost(MODERN);
    using bench = new PcBench({ model, devices: [vfio(NVME, { iommufd }), vfio(EDU, { iommufd })] });
    expect(bench.box.devices.domainSummaries()).toEqual([
      { name: "iommufd iommufd0", functions: [NVME, EDU], mappedBytes: RAM_BYTES, enforcesSnoop: true },
    ]);
    expect(bench.vm.assignedDeviceCount).toBe(2);
    expect(bench.box.devices.problems).toEqual([]);
    expectWorkingDisk(bench);
    const { process } = bench;
    expect(process.fds.list().some((fd) => process.fileOf(fd)?.path?.startsWith("/dev/vfio/devices/"))).toBe(true);
    bench.box.close();
    expect(process.fds.list()).toEqual([]);
    expect(groupIsFree(model, NVME)).toBe(true);
  });

  it("iommufds of other names are other domains, beside containers", () => {
    const { model } = stillHost(MODERN);
    const devices = [vfio(EDU, { iommufd }), vfio(NVME, { iommufd: { id: "two" } }), vfio(BRIDGED[0])];
    using bench = new PcBench({ model, devices });
    expect(bench.box.devices.domainSummaries().map(({ name }) => name)).toEqual([
      "iommufd iommufd0",
      "iommufd two",
      "default",
    ]);
    expectWorkingDisk(bench, 2);
  });

  it("works on an iommufd and a device node that it was handed, and leaves them open", () => {
    const { model } = stillHost(MODERN);
    const process = spawn(model, { root: false });
    const fd = handOver(model, process, "/dev/iommu");
    const [node] = model.spawn().readdir(`/sys/bus/pci/devices/${NVME}/vfio-dev`) as string[];
    const deviceFd = handOver(model, process, `/dev/vfio/devices/${node}`);
    using bench = new PcBench({ model, process, devices: [vfio(NVME, { iommufd: { id: "i", fd }, deviceFd })] });
    expectWorkingDisk(bench);
    bench.box.close();
    expect(process.fds.list()).toEqual([fd, deviceFd]);
  });
});

describe("pc passthrough: devices on another host than KVM", () => {
  function split(...functions: string[]) {
    const devices = stillHost("desktop");
    const kvm = stillHost("q35");
    const kvmProcess = kvm.model.spawn();
    const bench = new PcBench({
      model: devices.model,
      devices: functions.map((bdf) => vfio(bdf)),
      kvm: { model: kvm.model, process: kvmProcess },
    });
    return { bench, kvmProcess, kvm: kvm.model };
  }

  it("hands messages from the device's eventfd to KVM's", () => {
    const { bench, kvmProcess } = split(NVME);
    using _ = bench;
    expectWorkingDisk(bench);
    expect(bench.vm.irqfds.size).toBe(1);
    // The device's host has no part in the VM, and KVM none in the device.
    expect(bench.vm.assignedDeviceCount).toBe(0);
    expect(kvmProcess.mm.lockedPages).toBe(0);
    expect([...bench.model.kvm.vms]).toEqual([]);
    const nvme = new NvmeGuest(bench, 1);
    nvme.mask(0, true);
    nvme.start();
    nvme.identify();
    expect(bench.interrupts.take()).toEqual([]);
    expect(nvme.pending(0)).toBe(true);
    nvme.mask(0, false);
    expect(bench.interrupts.take()).toEqual(["message fee00000 41"]);
  });

  it("an access to the device counts as the end of its pin's interrupt", () => {
    const { bench } = split(EDU);
    using _ = bench;
    const edu = bench.slot(1);
    const gsi = edu.config(0x3c, 1);
    edu.enable();
    edu.setReg(0x60, 1);
    const [up, down] = [`line ${gsi} up`, `line ${gsi} down`];
    // The write that raised it is such an access, too; the device still asserts its pin, so it comes again.
    expect(bench.interrupts.take()).toEqual([up, down, up]);
    expect(edu.reg(0x24)).toBe(1);
    expect(bench.interrupts.take()).toEqual([down, up]);
    edu.setReg(0x64, 1);
    expect(bench.interrupts.take()).toEqual([down]);
    expect(bench.box.machine.delivered.lines).toBe(3);
  });

  it("traps every access, and gives everything back on both sides", () => {
    const { bench, kvmProcess, kvm } = split(NVME, EDU);
    using _ = bench;
    expectWorkingDisk(bench);
    expect(bench.vm.slots.size).toBe(1);
    bench.box.close();
    expect(bench.process.fds.list()).toEqual([]);
    expect(kvmProcess.fds.list()).toEqual([]);
    expect(kvm.kvm.vms.size).toBe(0);
    expect(bench.process.mm.lockedPages).toBe(0);
    expect(groupIsFree(bench.model, NVME)).toBe(true);
  });
});
