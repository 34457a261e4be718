import { describe, expect, test } from "vitest";
import { memoryDisk, nvme } from "../src/devices/index.ts";
import {
  affectedFunctions,
  busResetScope,
  type PciFunction,
  PciTopology,
  probeResetMethods,
  resetBusOf,
  resetFunction,
  restoreConfig,
  saveConfig,
  secondaryBusReset,
  setPowerState,
  setResetMethods,
} from "../src/index.ts";
import { models, plain, q35Topology } from "./support/q35.ts";

const out = new Uint32Array(2);
function register(fn: PciFunction, offset: number): number {
  fn.device.readBar(0, offset, 4, out);
  return out[0]!;
}

describe("pci reset: methods", () => {
  test("as probed while functions are added, shared buses and bridges included", () => {
    const topology = q35Topology();
    const methods = (bdf: string): string => topology.get(bdf).resetMethods.join(" ");
    expect(
      [
        "01:00.0",
        "01:00.1",
        "02:00.0",
        "03:00.0",
        "06:00.0",
        "07:01.0",
        "07:02.0",
        "08:00.0",
        "09:00.0",
        "09:01.0",
      ].map(methods),
    ).toEqual(["pm bus", "", "bus", "flr bus", "pm bus", "bus", "", "flr bus", "flr bus", "flr"]);
    expect(["0a:00.0", "0b:00.0", "0c:00.0", "0c:00.1", "00:02.0"].map(methods)).toEqual([
      "pm bus",
      "flr bus",
      "flr bus",
      "pm",
      "",
    ]);
  });

  test("a later probe of a shared bus finds nothing", () => {
    const fn = q35Topology().get("07:01.0");
    expect(probeResetMethods(fn)).toEqual([]);
    expect([setResetMethods(fn, "default"), fn.resetMethods]).toEqual([0, []]);
    expect(setResetMethods(fn, "bus")).toBe(-22);
  });

  test("sysfs takes a reordered subset, refuses other names and clears on an empty line", () => {
    const fn = q35Topology().get("0a:00.0");
    expect([setResetMethods(fn, "bus pm\n"), fn.resetMethods]).toEqual([0, ["bus", "pm"]]);
    expect([setResetMethods(fn, "pm acpi"), setResetMethods(fn, "flr"), fn.resetMethods]).toEqual([
      -22,
      -22,
      ["bus", "pm"],
    ]);
    expect([setResetMethods(fn, "\n"), resetFunction(fn)]).toEqual([0, -25]);
  });

  test("functions with known broken resets are left out", () => {
    const device = plain("00.0", 0x168c0030, 0x028000, { pm: { noSoftReset: true } });
    const topology = PciTopology.fromDescription(
      { domains: [{ devices: [{ at: "01.0", bridge: "root-port", children: [device] }] }] },
      { models },
    );
    const fn = topology.get("01:00.0");
    expect([fn.resetMethods, busResetScope(fn)]).toEqual([[], null]);
  });
});

describe("pci reset: one function", () => {
  test.each([
    ["flr", "03:00.0", 0x14],
    ["bus", "0a:00.0", 4],
  ] as const)("%s clears the device and keeps COMMAND and BARs", (method, bdf, offset) => {
    const fn = q35Topology().get(bdf);
    expect(setResetMethods(fn, method)).toBe(0);
    fn.writeConfig(4, 2, 6);
    const initial = register(fn, offset);
    fn.writeBar(0, offset, 4, 0x00110011, 0);
    const bar = fn.readConfig(0x10, 4);
    expect(register(fn, offset)).not.toBe(initial);
    expect(resetFunction(fn)).toBe(0);
    expect([register(fn, offset), fn.readConfig(4, 2), fn.readConfig(0x10, 4), fn.locked]).toEqual([
      initial,
      6,
      bar,
      false,
    ]);
  });

  test("pm goes through D3hot, whatever the state before", () => {
    const fn = q35Topology().get("0c:00.1");
    fn.writeConfig(4, 2, 2);
    fn.writeBar(0, 0, 4, 7, 0);
    expect(resetFunction(fn)).toBe(0);
    expect(register(fn, 0)).toBe(0);
    setPowerState(fn, 3);
    expect([fn.powerState, resetFunction(fn), fn.powerState]).toEqual([3, 0, 0]);
    expect(fn.readConfig(0x10, 4)).toBe(fn.bar(0)!.busAddress);
  });

  test("messages survive: capability and table are programmed again", () => {
    const fn = q35Topology().get("03:00.0");
    fn.writeConfig(4, 2, 6);
    fn.device.msix!.program(1, 1, 0xfee00000, 0x55);
    fn.device.msix!.setControl(true);
    expect(resetFunction(fn)).toBe(0);
    expect([fn.device.msix!.enabled, fn.device.msix!.masked(1), fn.device.msix!.masked(0)]).toEqual([
      true,
      false,
      true,
    ]);
    expect([...fn.device.msix!.table.subarray(4, 8)]).toEqual([0xfee00000, 1, 0x55, 0]);
    const sent: number[] = [];
    fn.device.irq = { intx: () => undefined, msi: (vector, _hi, _lo, data) => sent.push(vector, data) };
    fn.device.msix!.raise(1);
    expect(sent).toEqual([1, 0x55]);
  });

  test("a stale bus method, a held lock and a silent device are errors", () => {
    const topology = q35Topology();
    expect(resetFunction(topology.get("07:01.0"))).toBe(-25);
    const fn = topology.get("02:00.0");
    fn.locked = true;
    expect(resetFunction(fn)).toBe(-11);
    fn.locked = false;
    fn.responding = false;
    expect(resetFunction(fn)).toBe(-25);
  });

  test("AF: writing the control byte resets, reading it gives zero", () => {
    const topology = PciTopology.fromDescription(
      { domains: [{ devices: [plain("00.0", 1, 0, { af: true, bars: [{ index: 0, type: "mem32", size: 4096 }] })] }] },
      { models },
    );
    const fn = topology.get("00:00.0");
    expect(fn.resetMethods).toEqual(["af_flr"]);
    fn.writeConfig(4, 2, 2);
    fn.writeBar(0, 8, 4, 1, 0);
    const at = fn.config.findCapability(0x13);
    fn.writeConfig(at + 4, 1, 1);
    expect([register(fn, 8), fn.readConfig(at + 4, 1), fn.readConfig(4, 2), fn.readConfig(0x10, 4)]).toEqual([
      0, 0, 0, 0,
    ]);
    fn.writeConfig(4, 2, 2);
    expect([resetFunction(fn), fn.readConfig(4, 2)]).toEqual([0, 2]);
  });

  test("saved configuration comes back bit for bit where software can write", () => {
    const fn = q35Topology().get("0b:00.0");
    fn.writeConfig(4, 2, 0x0507);
    fn.writeConfig(0x3c, 1, 11);
    fn.writeConfig(fn.config.findCapability(0x10) + 8, 2, 0x2037);
    const saved = saveConfig(fn);
    fn.device.reset("bus");
    expect(fn.config.bytes).not.toEqual(saved.bytes);
    restoreConfig(fn, saved);
    expect(fn.config.bytes).toEqual(saved.bytes);
  });
});

describe("pci reset: buses", () => {
  test("scope and affected functions", () => {
    const topology = q35Topology();
    const affected = (bdf: string): string[] => {
      const fn = topology.get(bdf);
      const scope = busResetScope(fn);
      return scope === null ? [] : [...affectedFunctions(fn, scope)].map((each) => each.name.slice(5));
    };
    expect(affected("00:02.0")).toEqual([]);
    expect(affected("01:00.1")).toEqual(["01:00.0", "01:00.1"]);
    expect(affected("07:03.0")).toHaveLength(6);
    expect(affected("08:00.0")).toEqual(["08:00.0", "09:00.0", "0a:00.0", "09:01.0", "0b:00.0"]);
  });

  test("resets every function below, restores all of them, bridges first", () => {
    const topology = q35Topology();
    const nvme = topology.get("0b:00.0");
    nvme.writeConfig(4, 2, 6);
    nvme.writeBar(0, 0x14, 4, 0x00460000, 0);
    const before = topology.functions.map((fn) => fn.config.bytes.slice());
    expect(resetBusOf(topology.get("08:00.0"))).toBe(0);
    expect(register(nvme, 0x14)).toBe(0);
    topology.functions.forEach((fn, i) => {
      expect(fn.config.bytes).toEqual(before[i]);
    });
  });

  test("nothing is touched when a lock is held; a silent child is reported and the rest restored", () => {
    const topology = q35Topology();
    const [first, second] = [topology.get("0c:00.0"), topology.get("0c:00.1")];
    first.writeBar(0, 0x14, 4, 0x00460000, 0);
    second.writeConfig(4, 2, 2);
    second.locked = true;
    expect([resetBusOf(first), second.readConfig(4, 2), first.locked]).toEqual([-11, 2, false]);
    second.locked = false;
    first.responding = false;
    expect([resetBusOf(first), second.readConfig(4, 2)]).toEqual([-25, 2]);
  });

  test("a root bus cannot be reset", () => {
    expect(resetBusOf(q35Topology().get("00:02.0"))).toBe(-25);
  });

  test("a hotplug port makes the slot the scope", () => {
    const topology = PciTopology.fromDescription(
      {
        domains: [
          { devices: [{ at: "01.0", bridge: "root-port", hotplug: true, children: [{ at: "00.0", model: "edu" }] }] },
        ],
      },
      { models },
    );
    expect(busResetScope(topology.get("01:00.0"))).toBe("slot");
  });

  test("the hardware's own bus reset keeps nothing", () => {
    const device = nvme({ disk: memoryDisk(512) });
    const topology = PciTopology.fromDescription({
      domains: [{ devices: [{ at: "01.0", bridge: "root-port", children: [{ at: "00.0", device }] }] }],
    });
    const fn = topology.get("01:00.0");
    fn.writeConfig(4, 2, 6);
    device.writeBar(0, 0x14, 4, 0x00460000, 0);
    secondaryBusReset(topology.get("00:01.0"));
    expect([fn.readConfig(4, 2), fn.readConfig(0x10, 4), register(fn, 0x14)]).toEqual([0, 4, 0]);
  });
});
