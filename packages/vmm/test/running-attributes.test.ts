// What a VM tells of what is behind its guest's pages, while it is there: BARs as they are decoded, containers, locked memory.
// Machines pc are on a modelled KVM here, without CPUs; test/kvm has them run.
import { type HostDescription, modelHost, modelHostDescription } from "@minivmm/model-host";
import { EduDevice, VgaDevice } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import type { DeviceConfig } from "../src/config.ts";
import { FRAMES_PASS, FRAMES_RAM, framesProgram } from "../src/guests/index.ts";
import type { PcDeviceConfig } from "../src/machines/pc/devices.ts";
import type { RunningAttributes } from "../src/running-attributes.ts";
import { createVm } from "../src/vm.ts";
import { PcBench, RAM_BYTES, registersAsMemory, spawn, stillHost } from "./pc-bench.ts";
import { printAndEnd, spin } from "./small-guests.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const COMMAND = 4;
const MIB = 0x10_0000;

const vfio = (host: string, rest: object = {}): PcDeviceConfig => ({ driver: "vfio-pci", host, ...rest });

function pc(devices: readonly PcDeviceConfig[], host: string | HostDescription = "desktop"): PcBench {
  const { model } = stillHost(host);
  const process = spawn(model);
  registersAsMemory(process);
  return new PcBench({ model, process, devices });
}

describe("vmm running attributes: machine pc", () => {
  it("tells where the guest decodes a BAR, and how much of it is reached directly, as both are now", () => {
    using bench = pc([vfio(NVME, { id: "disk" })]);
    const bar = () => bench.box.attributes().bars.find(({ index }) => index === 0);
    const function1 = bench.slot(1);
    function1.setConfig(COMMAND, 0, 2);
    const off = bar();
    expect(off).toMatchObject({ device: "disk", hostFunction: NVME, kind: "mem64", address: null, directBytes: 0 });
    function1.setConfig(COMMAND, 2, 2);
    const on = bar();
    expect(on).toMatchObject({ address: function1.bar(0), overlapped: false });
    expect(on?.directBytes).toBe(bench.box.devices.deviceSummaries()[0]?.directBytes);
    expect(on?.directBytes).toBeGreaterThan(0);
    expect(on?.directBytes).toBeLessThan(on?.bytes ?? 0);
    expect(on?.msixTable).toBe(true);
    function1.setConfig(COMMAND, 0, 2);
    expect(bar()).toEqual(off);
  });

  it("tells of models, of what they were written with, and of one that lies over another", () => {
    const models = [new VgaDevice({ memory: 1 }), new EduDevice()];
    const devices = models.map((device): PcDeviceConfig => ({ driver: "emulated", device }));
    using bench = pc(devices);
    for (const slot of [1, 2]) bench.slot(slot).setConfig(COMMAND, 2, 2);
    bench.write(bench.slot(1).bar(0) + 8, 1, 4);
    const { bars, containers, combined, lockedBytes } = bench.box.attributes();
    expect({ containers, combined, lockedBytes }).toEqual({ containers: [], combined: null, lockedBytes: 0 });
    const [memory] = bars;
    expect(memory).toMatchObject({ device: "dev0", hostFunction: null, prefetchable: true, burstable: true });
    expect(memory?.writes).toEqual({ bar: 0, writes: 1, bursts: 0, bytes: 4 });
    expect(bars.map(({ device }) => device)).toEqual([...bars.map(({ device }) => device)].sort());
    // The second goes over the first, which answers.
    bench.slot(2).setConfig(0x10, bench.slot(1).bar(0));
    const later = bench.box.attributes().bars;
    expect(later.filter(({ overlapped }) => overlapped).map(({ device }) => device)).toEqual(["dev1"]);
    expect(later.find(({ overlapped }) => overlapped)?.address).toBe(memory?.address);
  });

  it("tells for each container what is pinned and whether DMA snoops, and what KVM counts", () => {
    const mixed: HostDescription = {
      ...modelHostDescription("desktop"),
      iommu: { kind: "type1", units: [{ scope: [EDU], snoopControl: false }] },
    };
    using both = pc([vfio(NVME), vfio(EDU)], mixed);
    const told = both.box.attributes();
    expect(told.containers.map(({ groups, ...rest }) => ({ ...rest, groups: groups.length }))).toEqual([
      { name: "default", functions: [NVME], groups: 1, iommu: "type1", enforcesSnoop: true, pinnedBytes: RAM_BYTES },
      {
        name: "default, apart",
        functions: [EDU],
        groups: 1,
        iommu: "type1",
        enforcesSnoop: false,
        pinnedBytes: RAM_BYTES,
      },
    ]);
    expect(told).toMatchObject({ machine: "pc", nonCoherentDma: true, lockedBytes: 2 * RAM_BYTES });
    expect(told.ram).toEqual([{ start: 0, bytes: RAM_BYTES }]);
    // It goes from thread to thread.
    expect(structuredClone(told)).toEqual(told);
    using one = pc([vfio(NVME)], mixed);
    expect(one.box.attributes()).toMatchObject({ nonCoherentDma: false, lockedBytes: RAM_BYTES });
  });
});

describe("vmm running attributes: machine pseries", () => {
  async function pseries(kernel: Uint8Array, devices: readonly DeviceConfig[]) {
    const model = modelHost("power9");
    const host = model.spawn({ memlock: Number.POSITIVE_INFINITY });
    const vm = await createVm(host, {
      machine: "pseries",
      memoryBytes: 16 * MIB,
      kernel: { bytes: kernel },
      devices,
      console: { write: () => undefined },
    });
    return {
      vm,
      [Symbol.dispose]: () => {
        vm.close();
        model.close();
      },
    };
  }

  it("before it runs and while it does; not after the end", async () => {
    using made = await pseries(spin(), [
      { driver: "vfio-pci", host: "0001:01:00.0" },
      { driver: "emulated", device: new EduDevice(), id: "edu" },
    ]);
    const { vm } = made;
    const before = await vm.attributes();
    expect(before).toMatchObject({
      machine: "pseries",
      accelerator: "soft",
      cpu: { vendor: "power" },
      nonCoherentDma: false,
      ram: [{ start: 0, bytes: 16 * MIB }],
      combined: { bursts: 0 },
    });
    expect(before.containers).toMatchObject([
      { name: "default", functions: ["0001:01:00.0"], iommu: "spapr-v2", pinnedBytes: 16 * MIB },
    ]);
    expect(before.lockedBytes).toBeGreaterThan(16 * MIB);
    expect(before.bars).toMatchObject([{ hostFunction: "0001:01:00.0" }, { device: "edu", hostFunction: null }]);
    const end = vm.run();
    expect(await vm.attributes()).toEqual(before);
    vm.stop();
    expect((await end).reason).toBe("stopped");
    await expect(vm.attributes()).rejects.toMatchObject({
      code: "VM_STATE",
      message: expect.stringContaining("ended"),
    });
  });

  it("counts what a guest draws in bursts, where it is drawn", async () => {
    using model = modelHost("power9");
    let told: Promise<RunningAttributes> | undefined;
    using vm = await createVm(model.spawn(), {
      machine: "pseries",
      memoryBytes: FRAMES_RAM,
      kernel: { bytes: framesProgram([{ bytes: 4096, frames: 1, warmUp: 0, mapping: "tolerant" }]) },
      devices: [{ driver: "emulated", device: new VgaDevice(), id: "display" }],
      clock: "instructions",
      console: {
        write: (bytes) => {
          // The last thing that the guest says.
          if (new TextDecoder().decode(bytes).includes(FRAMES_PASS)) told = vm.attributes();
        },
      },
    });
    expect((await vm.run()).reason).toBe("power-off");
    const { bars, combined } = (await told) as RunningAttributes;
    expect(combined?.bursts).toBe(vm.summary().exits.burst);
    expect(combined?.bursts).toBeGreaterThanOrEqual(4096 / 64);
    expect(bars[0]).toMatchObject({
      device: "display",
      prefetchable: true,
      burstable: true,
      address: expect.any(Number),
    });
    expect(bars[0]?.writes?.bytes).toBe(4096);
  });

  it("has names for containers, and none without functions", async () => {
    using named = await pseries(printAndEnd("x"), [{ driver: "vfio-pci", host: "0001:01:00.0", container: "c" }]);
    expect((await named.vm.attributes()).containers.map(({ name }) => name)).toEqual(["c"]);
    using none = await pseries(printAndEnd("x"), []);
    expect(await none.vm.attributes()).toMatchObject({ containers: [], bars: [], lockedBytes: 0 });
    none.vm.close();
    await expect(none.vm.attributes()).rejects.toMatchObject({ code: "VM_STATE" });
  });
});
