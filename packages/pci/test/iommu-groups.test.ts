import { describe, expect, test } from "vitest";
import { bindDriver, type FunctionDescription, Msix, PciTopology, unbindDriver } from "../src/index.ts";
import { models, partition, plain, q35Topology } from "./support/q35.ts";

const build = (devices: FunctionDescription[]): PciTopology =>
  PciTopology.fromDescription({ domains: [{ devices }] }, { models });
const express = (at: string, ids = 0x80861234): FunctionDescription => plain(at, ids, 0x020000, { express: {} });

describe("pci iommu groups: type1 hosts", () => {
  test("the recorded desktop has the recorded groups, in the recorded order", () => {
    expect(partition(q35Topology())).toEqual([
      "00:00.0",
      "00:02.0",
      "00:03.0",
      "00:04.0",
      "00:05.0",
      "00:06.0",
      "00:07.0",
      "00:08.0",
      "00:09.0",
      "00:1d.0 00:1d.7",
      "00:1f.0 00:1f.2 00:1f.3",
      "01:00.0 01:00.1",
      "02:00.0",
      "03:00.0",
      "06:00.0 07:01.0 07:02.0 07:03.0 07:04.0 07:05.0 07:06.0",
      "08:00.0",
      "09:00.0 0a:00.0",
      "09:01.0 0b:00.0",
      "0c:00.0 0c:00.1",
    ]);
  });

  test("an endpoint below a port without ACS joins the port", () => {
    const topology = build([{ at: "01.0", bridge: "root-port", acs: false, children: [express("00.0")] }]);
    expect(partition(topology)).toEqual(["00:01.0 01:00.0"]);
  });

  test("two ports in one slot without ACS share a group with everything below", () => {
    const below = (at: string): FunctionDescription => ({
      at,
      bridge: "root-port",
      acs: false,
      children: [express("00.0")],
    });
    expect(partition(build([below("1c.0"), below("1c.1")]))).toEqual(["00:1c.0 00:1c.1 01:00.0 02:00.0"]);
  });

  test("the two ports of an 82576 are apart although they have no ACS", () => {
    const card = [express("00.0", 0x808610c9), express("00.1", 0x808610c9)];
    expect(partition(build([{ at: "01.0", bridge: "root-port", children: card }]))).toEqual([
      "00:01.0",
      "01:00.0",
      "01:00.1",
    ]);
  });

  test("downstream ports with ACS isolate their endpoints", () => {
    const down = (at: string): FunctionDescription => ({ at, bridge: "downstream-port", children: [express("00.0")] });
    const topology = build([
      {
        at: "01.0",
        bridge: "root-port",
        children: [{ at: "00.0", bridge: "upstream-port", children: [down("00.0"), down("01.0")] }],
      },
    ]);
    expect(partition(topology)).toEqual(["00:01.0", "01:00.0", "02:00.0", "02:01.0", "03:00.0", "04:00.0"]);
  });

  test("downstream ports as functions of one slot without ACS are together", () => {
    const down = (at: string): FunctionDescription => ({
      at,
      bridge: "downstream-port",
      acs: false,
      children: [express("00.0")],
    });
    const topology = build([
      {
        at: "01.0",
        bridge: "root-port",
        children: [{ at: "00.0", bridge: "upstream-port", children: [down("00.0"), down("00.1")] }],
      },
    ]);
    expect(partition(topology)).toEqual(["00:01.0", "01:00.0", "02:00.0 02:00.1 03:00.0 04:00.0"]);
  });

  test("a conventional bridge below another makes one group", () => {
    const topology = build([
      {
        at: "1e.0",
        bridge: "pci-bridge",
        children: [plain("00.0", 1, 0), { at: "01.0", bridge: "pci-bridge", children: [plain("02.0", 2, 0)] }],
      },
    ]);
    expect(partition(topology)).toEqual(["00:1e.0 01:00.0 01:01.0 02:02.0"]);
  });
});

describe("pci iommu groups: sPAPR hosts", () => {
  const phb = (children: FunctionDescription[]) => ({
    devices: [{ at: "00.0", bridge: "root-port" as const, children }],
  });
  const powernv = {
    grouping: "pe" as const,
    domains: [
      phb([{ at: "00.0", model: "nvme" }]),
      phb([express("00.0"), express("00.1")]),
      phb([{ at: "00.0", model: "edu" }]),
      phb([
        {
          at: "00.0",
          bridge: "pcie-pci-bridge" as const,
          children: [{ at: "01.0", model: "edu" }, { at: "02.0", model: "edu" }, plain("03.0", 0x1b36000d, 0x0c0330)],
        },
      ]),
    ],
  };

  test("bare metal: a group a bus, none for ports and bridges", () => {
    const topology = PciTopology.fromDescription(powernv, { models });
    const names = topology.groups.map((group) => group.functions.map((fn) => fn.name));
    expect(names).toEqual([
      ["0000:01:00.0"],
      ["0001:01:00.0", "0001:01:00.1"],
      ["0002:01:00.0"],
      ["0003:02:01.0", "0003:02:02.0", "0003:02:03.0"],
    ]);
    expect(topology.bridges.every((bridge) => bridge.group === null)).toBe(true);
  });

  test("pseries: a group a host bridge", () => {
    const devices = [
      { at: "01.0", model: "edu" },
      { at: "02.0", bridge: "pci-bridge" as const, children: [{ at: "00.0", model: "edu" }] },
    ];
    const topology = PciTopology.fromDescription(
      { grouping: "pe-phb", domains: [{ devices }, { devices: [] }] },
      { models },
    );
    expect(partition(topology)).toEqual(["00:01.0 01:00.0"]);
    expect(topology.groups[0]?.name).toBe("domain0-pe0");
  });

  test("a host without IOMMU has no groups", () => {
    const topology = PciTopology.fromDescription({ ...powernv, grouping: "none" }, { models });
    expect([topology.groups.length, topology.get("0000:01:00.0").group]).toEqual([0, null]);
  });
});

describe("pci iommu groups: ownership", () => {
  test("user space gets a group only without kernel drivers, and keeps them out while it has it", () => {
    const topology = q35Topology();
    const [nic, serial] = [topology.get("01:00.0"), topology.get("01:00.1")];
    const group = nic.group!;
    const owner = {};
    expect(bindDriver(serial, "serial")).toBe(0);
    expect(bindDriver(nic, "vfio-pci")).toBe(0);
    expect(bindDriver(nic, "vfio-pci")).toBe(-16);
    expect([group.viable, group.kernelOwned().map((fn) => fn.name), group.claimDmaOwner(owner)]).toEqual([
      false,
      ["0000:01:00.1"],
      -1,
    ]);
    unbindDriver(serial);
    expect([group.claimDmaOwner(null), group.claimDmaOwner(owner), group.claimDmaOwner({})]).toEqual([-22, 0, -1]);
    expect([bindDriver(serial, "serial"), serial.driver]).toEqual([-16, null]);
    expect(bindDriver(serial, "pci-stub")).toBe(0);
    group.releaseDmaOwner();
    unbindDriver(serial);
    expect(bindDriver(serial, "serial")).toBe(0);
  });

  test("a port's own driver does not count", () => {
    const topology = build([
      { at: "01.0", bridge: "root-port", acs: false, driver: "pcieport", children: [express("00.0")] },
    ]);
    expect(topology.groups[0]?.viable).toBe(true);
  });

  test("DMA needs a domain, bus mastering and an unfrozen PE", () => {
    const fn = q35Topology().get("02:00.0");
    const log: string[] = [];
    const into = new Uint8Array(4);
    const attempt = (): boolean => fn.device.dma.read(0, 0x1000, into) && fn.device.dma.write(0, 0x1000, into);
    expect(attempt()).toBe(false);
    fn.group!.domain = {
      name: "test",
      read: () => log.push("read") > 0,
      write: () => log.push("write") > 0,
    };
    expect(attempt()).toBe(false);
    fn.writeConfig(4, 2, 6);
    expect(attempt()).toBe(true);
    fn.group!.peFrozen = true;
    expect(attempt()).toBe(false);
    fn.group!.peFrozen = false;
    fn.responding = false;
    expect([attempt(), log]).toEqual([false, ["read", "write"]]);
  });

  test("a PE that is frozen, or has its DMA stopped, loses DMA and messages", () => {
    const fn = q35Topology().get("02:00.0");
    const group = fn.group!;
    const seen: number[] = [];
    fn.device.irq = { intx: () => undefined, msi: (vector) => seen.push(vector) };
    group.domain = { name: "test", read: () => true, write: () => true };
    fn.writeConfig(4, 2, 6);
    const msix = new Msix(fn.device, { vectors: 2, bar: 0, table: 0, pba: 0x1000 });
    msix.program(1, 0, 0xfee0_0000, 7);
    msix.setControl(true);
    const passes = (): boolean[] => {
      seen.length = 0;
      msix.raise(1);
      return [seen.length > 0, fn.device.dma.read(0, 0x1000, new Uint8Array(4))];
    };
    expect(passes()).toEqual([true, true]);
    group.peFrozen = true;
    group.peDmaStopped = true;
    expect(passes()).toEqual([false, false]);
    group.peFrozen = false;
    expect(passes()).toEqual([false, false]);
    // What was lost does not come later.
    group.peDmaStopped = false;
    expect(seen).toEqual([]);
    expect(msix.pending(1)).toBe(false);
    expect(passes()).toEqual([true, true]);
  });
});
