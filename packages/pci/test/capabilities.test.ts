import { describe, expect, test } from "vitest";
import { passive } from "../src/devices/index.ts";
import {
  addAcs,
  addAer,
  addAri,
  addDsn,
  addPcie,
  addPm,
  BridgeDevice,
  hasFlr,
  PCI_EXP_TYPE_RC_END,
  PCI_EXP_TYPE_ROOT_PORT,
  type PciDevice,
  pcieType,
  powerState,
} from "../src/index.ts";

const card = (): PciDevice => passive({ vendor: 1, device: 2, classCode: 0, configSize: 4096 });

describe("pci capabilities: power management", () => {
  test("states that do not exist are not entered", () => {
    const device = card();
    const at = addPm(device) + 4;
    for (const [state, expected] of [
      [1, 0],
      [3, 3],
      [2, 3],
      [0, 0],
    ] as const) {
      device.config.write(at, 2, state);
      expect(powerState(device)).toBe(expected);
    }
  });

  test("leaving D3hot resets, unless No_Soft_Reset says not", () => {
    for (const noSoftReset of [false, true]) {
      const device = card();
      const at = addPm(device, { noSoftReset }) + 4;
      device.config.write(4, 2, 6);
      device.config.write(at, 2, 3);
      device.config.write(at, 2, 0);
      expect(device.command).toBe(noSoftReset ? 6 : 0);
    }
  });

  test("a bus reset in D3hot leaves D0 and owes no second reset", () => {
    const device = card();
    const at = addPm(device) + 4;
    device.config.write(at, 2, 3);
    device.reset("bus");
    device.config.write(4, 2, 2);
    device.config.write(at, 2, 0);
    expect([powerState(device), device.command]).toEqual([0, 2]);
  });
});

describe("pci capabilities: PCI Express", () => {
  test("type and FLR; the reset bit reads zero and resets however it is written", () => {
    for (const [offset, size, value] of [
      [8, 2, 0x8000],
      [9, 1, 0x80],
      [8, 4, 0x8000],
    ] as const) {
      const device = card();
      const at = addPcie(device, { flr: true });
      device.config.write(4, 2, 6);
      device.config.write(at + offset, size, value);
      expect([hasFlr(device), device.command, device.config.read(at + 8, 2) & 0x8000]).toEqual([true, 0, 0]);
    }
  });

  test("a function without FLR ignores the bit", () => {
    const device = card();
    const at = addPcie(device, { type: PCI_EXP_TYPE_RC_END });
    device.config.write(4, 2, 6);
    device.config.write(at + 8, 2, 0x8000);
    expect([pcieType(device), device.command]).toEqual([PCI_EXP_TYPE_RC_END, 6]);
  });

  test("the payload size outlives an FLR and not a bus reset", () => {
    const device = card();
    const at = addPcie(device, { flr: true, transfers: true });
    device.config.write(at + 8, 2, 0x0020);
    device.config.write(at + 8, 2, 0x8020);
    expect(device.config.read(at + 8, 2)).toBe(0x2830);
    device.reset("bus");
    expect(device.config.read(at + 8, 2)).toBe(0x2810);
  });
});

describe("pci capabilities: extended", () => {
  test("error status is sticky and cleared by writing ones", () => {
    const device = card();
    const at = addAer(device, { root: true });
    device.config.poke(at + 4, 4, 0x00100000);
    device.reset("flr");
    device.reset("bus");
    expect(device.config.read(at + 4, 4)).toBe(0x00100000);
    device.config.write(at + 4, 4, 0x00100000);
    expect(device.config.read(at + 4, 4)).toBe(0);
  });

  test("ACS controls exist for the advertised bits only, and a reset switches them off", () => {
    const device = card();
    const at = addAcs(device, { capability: 0x05, control: 0x1d });
    expect(device.config.read(at + 6, 2)).toBe(0x05);
    device.config.write(at + 6, 2, 0x7f);
    expect(device.config.read(at + 6, 2)).toBe(0x05);
    device.reset("bus");
    expect(device.config.read(at + 6, 2)).toBe(0);
  });

  test("ARI and serial number show what they were given", () => {
    const device = card();
    const ari = addAri(device, { nextFunction: 3 });
    const dsn = addDsn(device, { hi: 0x01020304, lo: 0x05060708 });
    const { config } = device;
    expect(config.read(ari + 5, 1)).toBe(3);
    expect([config.read(dsn + 4, 4), config.read(dsn + 8, 4)]).toEqual([0x05060708, 0x01020304]);
  });
});

describe("pci capabilities: bridges", () => {
  test("each kind shows its type; the conventional one has no PCI Express", () => {
    const types = (["root-port", "upstream-port", "downstream-port", "pcie-pci-bridge", "pci-bridge"] as const).map(
      (kind) => pcieType(new BridgeDevice({ kind })),
    );
    expect(types).toEqual([PCI_EXP_TYPE_ROOT_PORT, 5, 6, 7, -1]);
  });

  test("the secondary reset starts on the rising edge, however the bit is written", () => {
    const bridge = new BridgeDevice({ kind: "root-port" });
    let resets = 0;
    bridge.onSecondaryReset = () => resets++;
    const out = new Uint32Array(2);
    bridge.readBar(1, 0, 4, out);
    expect(out[0]).toBe(0xffffffff);
    for (const [offset, size, value] of [
      [0x3e, 2, 0x40],
      [0x3e, 1, 0x40],
      [0x3e, 2, 0],
      [0x3c, 4, 0x00400000],
    ] as const) {
      bridge.config.write(offset, size, value);
    }
    expect(resets).toBe(2);
  });
});
