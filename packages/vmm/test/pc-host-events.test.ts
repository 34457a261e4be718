// What the host does to a guest of machine pc that has its functions: it wants one back, one breaks, and functions that
// cannot reset themselves are reset with their neighbours before and after.
import { O_RDWR } from "@minivmm/host";
import { type HostDescription, type ModelledHost, modelHostDescription } from "@minivmm/model-host";
import { hotResetIoctls } from "@minivmm/pci-hotreset";
import { describe, expect, it } from "vitest";
import type { PcDeviceConfig } from "../src/machines/pc/devices.ts";
import { guestWith, PcBench, spawn, stillHost } from "./pc-bench.ts";
import { NvmeGuest } from "./pc-nvme.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const UNBIND = "/sys/bus/pci/drivers/vfio-pci/unbind";
const TAKEN = "the host took it back while the guest ran";

const vfio = (host: string, rest: object = {}): PcDeviceConfig => ({ driver: "vfio-pci", host, ...rest });

describe("pc passthrough: the host wants a function back", () => {
  it("the guest loses it, the host gets it, and the rest goes on", () => {
    using guest = guestWith("desktop", [NVME, EDU]);
    const { bench, model, clock } = guest;
    const [nvme, edu] = [new NvmeGuest(bench, 1), bench.slot(2)];
    nvme.start();
    nvme.setVector(0, 0x41);
    nvme.setMsix(true);
    edu.enable();
    const bar = edu.bar(0);
    edu.setReg(0x60, 1);
    const gsi = edu.config(0x3c, 1);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} up`]);
    const descriptors = bench.process.fds.list().length;

    expect(model.spawn().writeFile(UNBIND, EDU)).toBeGreaterThan(0);
    expect(model.topology.get(EDU).driver).toBeNull();
    // Its device, its pin (two eventfds), and the two that the host's requests came by or could have.
    expect(bench.process.fds.list().length).toBeLessThan(descriptors - 2);
    expect(bench.interrupts.take()).toEqual([`line ${gsi} down`]);
    expect([edu.config(0), edu.config(4, 2), edu.config(0x10, 1)]).toEqual([0xffff_ffff, 0xffff, 0xff]);
    expect([bench.read(bar), bench.read(bar, 8)]).toEqual([0xffff_ffff, 2 ** 64 - 1]);
    edu.setConfig(4, 7, 2);
    bench.write(bar + 0x60, 1);
    clock.advance(60_000);
    expect(bench.interrupts.take()).toEqual([]);
    expect(bench.problems("dev1").at(-1)).toBe(TAKEN);
    expect(bench.problems("dev0")).toEqual([]);
    expect(bench.box.failure).toBeUndefined();
    nvme.identify();
    expect(bench.interrupts.take()).toEqual(["message fee00000 41"]);

    // Another driver has it while the VM runs on, and after the VM a new one can have it.
    expect(model.vfio.bind(EDU, "host-driver")).toBe(0);
    bench.box.close();
    expect(bench.process.fds.list()).toEqual([]);
    expect(bench.process.mm.lockedPages).toBe(0);
    expect([model.vfio.unbind(EDU), model.vfio.bind(EDU, "vfio-pci")]).toEqual([0, 0]);
    using again = new PcBench({ model, devices: [vfio(EDU)] });
    expect(again.slot(1).config(0)).toBe(0x11e8_1234);
  });

  it("gets one of which the guest uses messages, and the last one of a container", () => {
    using guest = guestWith("desktop", [NVME]);
    const { bench, model } = guest;
    const nvme = new NvmeGuest(bench, 1);
    nvme.start();
    for (const vector of [0, 1, 2]) nvme.setVector(vector, 0x41 + vector);
    nvme.setMsix(true);
    expect(bench.vm.irqfds.size).toBe(3);
    model.vfio.unbind(NVME);
    expect(model.topology.get(NVME).driver).toBeNull();
    expect(bench.vm.irqfds.size).toBe(0);
    expect(nvme.status).toBe(0xffff_ffff);
    expect(nvme.fn.reg(0x2000)).toBe(0xffff_ffff);
    nvme.mask(0, false);
    bench.box.close();
    expect(bench.process.fds.list()).toEqual([]);
    expect(bench.process.mm.lockedPages).toBe(0);
  });

  it("gets one that was opened through its own node", () => {
    const host = { ...modelHostDescription("desktop"), kernelConfig: { iommufd: true, deviceCdev: true } };
    const { model } = stillHost(host);
    const iommufd = { id: "i" };
    using bench = new PcBench({ model, devices: [vfio(NVME, { iommufd }), vfio(EDU, { iommufd })] });
    model.vfio.unbind(EDU);
    expect(model.topology.get(EDU).driver).toBeNull();
    expect(bench.slot(2).config(0)).toBe(0xffff_ffff);
    const nvme = new NvmeGuest(bench, 1);
    nvme.start();
    nvme.identify();
    expect(nvme.serial()).toBe("guest-disk");
    bench.box.close();
    expect(bench.process.fds.list()).toEqual([]);
  });

  it("gets one whose node was handed in, which is closed for that", () => {
    const host = { ...modelHostDescription("desktop"), kernelConfig: { iommufd: true, deviceCdev: true } };
    const { model } = stillHost(host);
    const process = spawn(model);
    const [node] = process.readdir(`/sys/bus/pci/devices/${EDU}/vfio-dev`) as string[];
    const deviceFd = process.open(`/dev/vfio/devices/${node}`, O_RDWR);
    using bench = new PcBench({ model, process, devices: [vfio(EDU, { iommufd: { id: "i" }, deviceFd })] });
    model.vfio.unbind(EDU);
    expect(model.topology.get(EDU).driver).toBeNull();
    bench.box.close();
    expect(process.fds.list()).toEqual([]);
  });

  it("gets one whose registers and interrupts are on another host than KVM", () => {
    const devices = stillHost("desktop");
    const kvm = stillHost("desktop");
    const process = kvm.model.spawn();
    using bench = new PcBench({
      model: devices.model,
      devices: [vfio(NVME), vfio(EDU)],
      kvm: { model: kvm.model, process },
    });
    new NvmeGuest(bench, 1).setMsix(true);
    for (const bdf of [NVME, EDU]) {
      devices.model.vfio.unbind(bdf);
      expect(devices.model.topology.get(bdf).driver).toBeNull();
    }
    expect(bench.box.devices.deviceSummaries().every(({ problems }) => problems.at(-1) === TAKEN)).toBe(true);
  });
});

describe("pc passthrough: a function breaks", () => {
  it("ends the run, and says which it was", () => {
    using guest = guestWith("desktop", [NVME, EDU]);
    const { bench, model } = guest;
    expect(bench.box.failure).toBeUndefined();
    model.vfio.device(NVME)?.state.irqs.err.signal();
    expect(bench.box.failure).toBe(`device dev0 (${NVME}) had an error that it does not recover from`);
    // It is there until the VM is closed.
    expect(bench.slot(1).config(0)).toBe(0x0010_1b36);
  });

  it("a function that stops answering reads as ones", () => {
    using guest = guestWith("desktop", [NVME]);
    const { bench, model } = guest;
    const nvme = new NvmeGuest(bench, 1);
    nvme.start();
    model.faults.silence(NVME);
    expect(nvme.fn.reg(8)).toBe(0xffff_ffff);
    nvme.identify();
    expect(nvme.statusOf()).toBe(-1);
    bench.box.close();
    expect(bench.process.fds.list()).toEqual([]);
  });
});

describe("pc passthrough: functions without a reset of their own", () => {
  const [FIRST, SECOND] = ["0000:01:00.0", "0000:01:00.1"] as const;
  /** Intel's I350 has a group for each function, the other card one for both. */
  const [GROUPS_APART, ONE_GROUP] = [0x1521, 0x1533];

  /** One card with two functions behind a port; in each a trace of its last user. */
  function card(device: number, { nodes = false, second = "vfio-pci" } = {}): ModelledHost {
    const options = {
      vendor: 0x8086,
      device,
      classCode: 0x02_0000,
      express: {},
      bars: [{ index: 0, type: "mem32", size: 0x1000 }],
    };
    const description: HostDescription = {
      name: "card",
      arch: "x86_64",
      iommu: { kind: "type1" },
      ...(nodes && { kernelConfig: { iommufd: true, deviceCdev: true } }),
      domains: [
        {
          domain: 0,
          devices: [
            {
              at: "01.0",
              bridge: "root-port",
              driver: "pcieport",
              children: [
                { at: "00.0", model: "passive", options, multifunction: true, driver: "vfio-pci" },
                { at: "00.1", model: "passive", options, driver: second },
              ],
            },
          ],
        },
      ],
    };
    const { model } = stillHost(description);
    for (const bdf of [FIRST, SECOND]) model.topology.get(bdf).device.writeBar(0, 0, 4, 0x5ec4e7, 0);
    return model;
  }

  /** A VM, what its slots show of the last user, and how often it has asked for a hot reset. */
  function start(model: ModelledHost, devices: readonly PcDeviceConfig[]) {
    const process = spawn(model);
    const ioctl = process.ioctl.bind(process);
    const { VFIO_DEVICE_PCI_HOT_RESET: wanted } = hotResetIoctls(process.arch);
    const resets: number[] = [];
    process.ioctl = (fd, request, arg) => {
      const result = ioctl(fd, request, arg);
      if (request === wanted && process.fileOf(fd)?.ops.kind === "vfio-device") resets.push(result);
      return result;
    };
    const bench = new PcBench({ model, process, devices });
    const traces = devices.map((_, index) => bench.slot(index + 1).reg(0));
    return { bench, resets, traces };
  }

  it("are reset with their bus, once for all, before and after", () => {
    for (const device of [ONE_GROUP, GROUPS_APART]) {
      const { bench, resets, traces } = start(card(device), [vfio(FIRST), vfio(SECOND)]);
      using _ = bench;
      expect({ resets, traces }).toEqual({ resets: [0], traces: [0, 0] });
      expect([bench.problems("dev0"), bench.problems("dev1")]).toEqual([[], []]);
      // The reset has not undone what firmware did for the guest.
      bench.slot(2).setReg(8, 77);
      expect(bench.slot(2).reg(8)).toBe(77);
      bench.box.close();
      expect(resets).toEqual([0, 0]);
    }
  });

  it("are reset too when the rest of the bus is nobody's, in a group that the VM has", () => {
    const { bench, resets, traces } = start(card(ONE_GROUP), [vfio(SECOND)]);
    using _ = bench;
    expect({ resets, traces }).toEqual({ resets: [0], traces: [0] });
  });

  it("are left alone, with a note, when somebody else could have the rest of the bus", () => {
    const { bench, resets, traces } = start(card(GROUPS_APART), [vfio(FIRST)]);
    using _ = bench;
    expect({ resets, traces }).toEqual({ resets: [], traces: [0x5ec4e7] });
    expect(bench.problems()).toEqual([
      `it could not be reset, so it is as its last user left it: ${FIRST} cannot be hot reset: it would hit ${SECOND} (vfio-pci)`,
    ]);
    bench.box.close();
    expect(resets).toEqual([]);
  });

  it("are left alone when a driver of the host has it", () => {
    const { bench, resets } = start(card(GROUPS_APART, { second: "igb" }), [vfio(FIRST)]);
    using _ = bench;
    expect(resets).toEqual([]);
    expect(bench.problems()[0]).toContain(`${FIRST} cannot be hot reset: ${SECOND} (igb) would be hit`);
  });

  it("are reset through an iommufd that has all of them, whatever their groups", () => {
    const iommufd = { id: "i" };
    const model = card(GROUPS_APART, { nodes: true });
    const { bench, resets, traces } = start(model, [vfio(FIRST, { iommufd }), vfio(SECOND, { iommufd })]);
    using _ = bench;
    expect({ resets, traces }).toEqual({ resets: [0], traces: [0, 0] });
    const other = start(card(GROUPS_APART, { nodes: true }), [vfio(FIRST, { iommufd })]);
    using __ = other.bench;
    expect(other.resets).toEqual([]);
    expect(other.bench.problems()[0]).toContain(`it would hit ${SECOND}`);
  });

  it("on a root bus stay as they are, and those that can reset themselves need none", () => {
    const { model } = stillHost("desktop");
    const { bench, resets } = start(model, [vfio(NVME), vfio(EDU)]);
    using _ = bench;
    expect(resets).toEqual([]);
    expect(bench.problems("dev0")).toEqual([]);
    expect(bench.problems("dev1")).toEqual([expect.stringContaining("sits on a root bus")]);
  });
});
