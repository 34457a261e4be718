// SR-IOV: the capability as hardware, virtual functions as the kernel adds and removes them, and the NVMe controller
// whose virtual functions are secondary controllers.
import { describe, expect, test } from "vitest";
import { memoryDisk, nvme, passive } from "../src/devices/index.ts";
import {
  addAri,
  disableSriov,
  enableSriov,
  type IovHost,
  type PciDevice,
  type PciFunction,
  PciTopology,
  resetFunction,
  Sriov,
} from "../src/index.ts";

const MEM = { index: 0, type: "mem64", size: 0x4000, prefetchable: false } as const;
const card = () => passive({ vendor: 0x8086, device: 0x10c9, classCode: 0x020000, express: { flr: true } });
const virtual = () => passive({ vendor: 0xffff, device: 0xffff, classCode: 0x020000, express: { flr: true } });

interface Options {
  total?: number;
  offset?: number;
  stride?: number;
  reserveBuses?: number;
  grouping?: "acs" | "pe" | "pe-phb";
  makeVf?: (() => PciDevice) | null;
}

/** A physical function behind a root port, and what happened to its virtual ones. */
function host(options: Options = {}) {
  const { total = 4, offset = 1, stride = 1, reserveBuses = 0, grouping = "acs", makeVf = virtual } = options;
  const device = card();
  addAri(device);
  new Sriov<PciDevice>(device, {
    totalVfs: total,
    vfDevice: 0x10ca,
    vfOffset: offset,
    vfStride: stride,
    bars: [MEM],
    ...(makeVf && { makeVf }),
  });
  const topology = PciTopology.fromDescription({
    grouping,
    domains: [{ devices: [{ at: "01.0", bridge: "root-port", reserveBuses, children: [{ at: "00.0", device }] }] }],
  });
  const events: string[] = [];
  const waiting: (() => void)[] = [];
  let holds = false;
  const iov: IovHost = {
    topology,
    appeared: (fn) => events.push(`+${fn.name}`),
    leaving(fn, _index, done) {
      events.push(`-${fn.name}`);
      if (holds) waiting.push(done);
      else done();
    },
    report: (_fn, line) => events.push(line),
  };
  return {
    topology,
    iov,
    events,
    pf: topology.get("01:00.0"),
    sriov: device.sriov as Sriov<PciDevice>,
    /** Drivers take their time from now on; the result lets the first of them go. */
    holdUp() {
      holds = true;
      return () => waiting.shift()?.();
    },
  };
}

const numVfs = (pf: PciFunction): number => pf.readConfig((pf.device.sriov?.offset ?? 0) + 0x10, 2);

describe("pci SR-IOV: the capability", () => {
  test("pci SR-IOV: shows totals, offset, stride, ids and page sizes; takes control, count, page size and addresses", () => {
    const { pf, sriov } = host({ total: 8, offset: 0x180, stride: 2, reserveBuses: 1 });
    const at = (register: number) => pf.readConfig(sriov.offset + register, 4);
    expect([at(0x0c), at(0x14), at(0x18), at(0x1c), at(0x20)]).toEqual([0x80008, 0x20180, 0x10ca0000, 0x553, 1]);
    const address = at(0x24);
    pf.writeConfig(sriov.offset + 0x24, 4, 0xffffffff);
    pf.writeConfig(sriov.offset + 0x28, 4, 0xffffffff);
    expect([at(0x24), at(0x28)]).toEqual([0xffffc004, 0xffffffff]);
    pf.writeConfig(sriov.offset + 0x20, 4, 0x10);
    pf.writeConfig(sriov.offset + 0x24, 4, 0xffffffff);
    expect(at(0x24)).toBe(0xffff0004);
    expect(address & 0xf).toBe(4);
  });

  test("pci SR-IOV: virtual functions exist from VF Enable on, and their number is fixed meanwhile", () => {
    const { pf, sriov } = host();
    pf.writeConfig(sriov.offset + 0x10, 2, 2);
    expect(sriov.exists(0)).toBe(false);
    pf.writeConfig(sriov.offset + 8, 2, 1);
    expect([0, 1, 2].map((i) => sriov.exists(i))).toEqual([true, true, false]);
    expect(sriov.decodes).toBe(false);
    pf.writeConfig(sriov.offset + 0x10, 2, 4);
    expect([numVfs(pf), sriov.exists(2)]).toEqual([2, false]);
    pf.writeConfig(sriov.offset + 8, 2, 9);
    expect(sriov.decodes).toBe(true);
    pf.device.reset("flr");
    expect([sriov.exists(0), sriov.decodes, numVfs(pf)]).toEqual([false, false, 0]);
  });

  test("pci SR-IOV: more than there are is all of them", () => {
    const { pf, sriov } = host();
    pf.writeConfig(sriov.offset + 0x10, 2, 100);
    pf.writeConfig(sriov.offset + 8, 2, 1);
    expect([sriov.exists(3), sriov.exists(4)]).toEqual([true, false]);
  });
});

describe("pci SR-IOV: virtual functions", () => {
  test("pci SR-IOV: each has its address, its part of the BAR, its ids and a group of its own", () => {
    const { topology, iov, pf, events } = host();
    expect(enableSriov(iov, pf, 2)).toBe(0);
    expect(events).toEqual(["+0000:01:00.1", "+0000:01:00.2"]);
    const [first, second] = ["01:00.1", "01:00.2"].map((name) => topology.get(name)) as [PciFunction, PciFunction];
    expect([first.vendorId, first.deviceId, first.readConfig(0, 4)]).toEqual([0x8086, 0x10ca, 0xffffffff]);
    expect([first.bars[0]?.address, second.bars[0]?.address]).toEqual([
      pf.iov?.bars[0]?.address,
      (pf.iov?.bars[0]?.address ?? 0) + 0x4000,
    ]);
    expect(new Set([pf, first, second].map((fn) => fn.group?.id)).size).toBe(3);
    expect([first.multifunction, first.physfn, first.resetMethods]).toEqual([false, pf, ["flr"]]);
    expect([...pf.bus.walk()]).toEqual([pf, first, second]);
  });

  test("pci SR-IOV: memory answers by the physical function's bit, whatever the virtual one's COMMAND says", () => {
    const { topology, iov, pf, sriov } = host({ makeVf: () => nvme({ disk: memoryDisk(0x10000) }) });
    enableSriov(iov, pf, 1);
    const vf = topology.get("01:00.1");
    const out = new Uint32Array(2);
    vf.readBar(0, 8, 4, out);
    expect([vf.readConfig(4, 2), out[0]]).toEqual([0, 0x00010400]);
    pf.writeConfig(sriov.offset + 8, 2, 1);
    vf.readBar(0, 8, 4, out);
    expect(out[0]).toBe(0xffffffff);
  });

  test("pci SR-IOV: beyond the bus they are on one without a bridge, if numbers were kept free", () => {
    const { topology, iov, pf } = host({ offset: 0x180, stride: 2, reserveBuses: 1 });
    expect(enableSriov(iov, pf, 2)).toBe(0);
    const vf = topology.get("02:10.2");
    expect([vf.physfn, vf.bus.bridge, vf.bus.isRoot, vf.bus.parent]).toEqual([pf, null, false, pf.bus]);
    expect(topology.get("02:10.0").bus).toBe(vf.bus);
    expect(vf.group?.functions).toEqual([vf]);
    const crowded = host({ offset: 0x180, stride: 2 });
    expect(enableSriov(crowded.iov, crowded.pf, 2)).toBe(-12);
    expect(crowded.events[0]).toBe("can't enable 2 VFs (bus 02 out of range of [bus 01-01])");
  });

  test("pci SR-IOV: refused counts change nothing", () => {
    const { iov, pf, topology } = host();
    expect(enableSriov(iov, pf, 0)).toBe(0);
    expect(enableSriov(iov, pf, 5)).toBe(-22);
    expect(enableSriov(iov, pf, 3)).toBe(0);
    expect(enableSriov(iov, pf, 1)).toBe(-22);
    expect(topology.functions.length).toBe(5);
    expect(enableSriov(iov, topology.get("00:01.0"), 1)).toBe(-19);
    const mute = host({ makeVf: null });
    expect(enableSriov(mute.iov, mute.pf, 2)).toBe(-5);
    expect([mute.pf.iov?.numVfs, mute.sriov.enabled, numVfs(mute.pf)]).toEqual([0, false, 0]);
  });

  test("pci SR-IOV: they go one after the other, each when its driver did, and leave group numbers behind", () => {
    const { topology, iov, pf, events, sriov, holdUp } = host();
    const before = topology.functions.length;
    enableSriov(iov, pf, 2);
    const groups = topology.groups.map((group) => group.id);
    const next = holdUp();
    let done = false;
    disableSriov(iov, pf, () => {
      done = true;
    });
    expect(events.at(-1)).toBe("-0000:01:00.1");
    expect(topology.find("01:00.1")).toBeDefined();
    next();
    expect([topology.find("01:00.1"), events.at(-1), pf.iov?.numVfs]).toEqual([undefined, "-0000:01:00.2", 2]);
    next();
    expect([done, topology.functions.length, pf.iov?.numVfs, sriov.enabled]).toEqual([true, before, 0, false]);
    enableSriov(iov, pf, 2);
    expect(topology.groups.map((group) => group.id)).toEqual(groups);
  });

  test("pci SR-IOV: a reset of the physical function brings them back from power-on", () => {
    const { topology, iov, pf, sriov } = host();
    enableSriov(iov, pf, 2);
    const vf = topology.get("01:00.1");
    vf.writeConfig(4, 2, 4);
    const block = pf.config.bytes.slice(sriov.offset, sriov.offset + 0x40);
    expect(resetFunction(pf)).toBe(0);
    expect([vf.responding, vf.readConfig(4, 2)]).toEqual([true, 0]);
    expect(pf.config.bytes.slice(sriov.offset, sriov.offset + 0x40)).toEqual(block);
    pf.device.reset("flr");
    expect([vf.responding, vf.readConfig(4, 2)]).toEqual([false, 0xffff]);
  });

  test("pci SR-IOV: one can be reset without the others noticing", () => {
    const { topology, iov, pf } = host();
    enableSriov(iov, pf, 2);
    const [first, second] = [topology.get("01:00.1"), topology.get("01:00.2")];
    for (const fn of [first, second]) fn.writeConfig(4, 2, 4);
    first.device.reset("flr");
    expect([first.readConfig(4, 2), second.readConfig(4, 2)]).toEqual([0, 4]);
  });

  test("pci SR-IOV: on POWER each is an endpoint of its own, in a guest part of the host bridge's", () => {
    const metal = host({ grouping: "pe" });
    enableSriov(metal.iov, metal.pf, 1);
    const vf = metal.topology.get("01:00.1");
    expect(vf.group?.functions).toEqual([vf]);
    const guest = host({ grouping: "pe-phb" });
    enableSriov(guest.iov, guest.pf, 1);
    expect(guest.topology.get("01:00.1").group).toBe(guest.pf.group);
  });
});

describe("pci NVMe with virtual functions", () => {
  const controller = () =>
    nvme({
      disk: memoryDisk(0x10000),
      queues: 6,
      vectors: 4,
      sriov: { vfs: 2, flexibleQueues: 4, flexibleVectors: 2 },
    });

  test("pci NVMe: leaves queues and interrupts to them and has the capabilities where software expects them", () => {
    const device = controller();
    expect([device.msix?.offset, device.pmOffset, device.sriov?.offset, device.msix?.vectors]).toEqual([
      0x40, 0x60, 0x120, 2,
    ]);
    expect(device.controller.settings.queues).toBe(2);
  });

  test("pci NVMe: a secondary controller without resources is failed and takes nothing but interrupt vectors", () => {
    const vf = controller().sriov?.vf(1) as ReturnType<typeof controller>;
    const out = new Uint32Array(2);
    const read = (offset: number): number => {
      vf.readBar(0, offset, 4, out);
      return out[0] as number;
    };
    expect([vf.bars.length, vf.msix?.vectors, vf.sriov, vf.config.read(0, 4)]).toEqual([0, 1, null, 0xffffffff]);
    vf.writeBar(0, 0x14, 4, 0x00460001, 0);
    expect([0, 4, 8, 0x14, 0x1c, 0x24].map(read)).toEqual([0, 0, 0, 0, 2, 0]);
    vf.writeBar(0, 0x2008, 4, 0x1234, 0);
    expect(read(0x2008)).toBe(0x1234);
    vf.online = true;
    expect([read(8), read(0x1c)]).toEqual([0x00010400, 0]);
    vf.reset("flr");
    expect(read(8)).toBe(0x00010400);
    vf.reset("power");
    expect(read(0x1c)).toBe(2);
  });
});
