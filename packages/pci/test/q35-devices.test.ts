// The rest of the Q35 machine: sound, display, test device, chipset, bridges, and what firmware and kernel do to them.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  HdaDevice,
  Ich9Ahci,
  Ich9Lpc,
  Ich9Smbus,
  nullDisk,
  nvme,
  PciTestDevice,
  Q35HostBridge,
  VgaDevice,
  VirtioSerial,
} from "../src/devices/index.ts";
import { BridgeDevice, capabilities, PciTopology } from "../src/index.ts";
import { plug } from "./support/plug.ts";
import { models, plain } from "./support/q35.ts";

describe("pci HD audio", () => {
  test("registers answer at their own offsets, and again in the second half of the BAR", () => {
    const { read, write } = plug(new HdaDevice({ now: () => 0 }));
    expect([read(0, 2), read(3, 1), read(4, 2), read(6, 2), read(0x4e, 1), read(1, 1)]).toEqual([
      0x4401, 1, 0x3c, 0x1d, 0x42, 0,
    ]);
    write(0x2008, 1);
    expect([read(8), read(0x80), read(0x83, 1), read(0x90)]).toEqual([1, 0x2000_0000, 0x20, 0x100]);
    write(0x82, 0x50, 1);
    expect(read(0x80)).toBe(0x2050_0000);
    write(0x80, 1);
    expect(read(0x80)).toBe(0x2000_0001);
  });

  test("the command ring drains: verbs reach no codec and get no answer", () => {
    const { memory, read, write } = plug(new HdaDevice({ now: () => 0 }));
    write(8, 1);
    write(0x40, 0x10_0000);
    write(0x4c, 2, 1);
    write(0x48, 3, 2);
    expect([read(0x4a, 2), memory.transfers, read(0x58, 2)]).toEqual([3, 3, 0]);
    write(0x40, 0x50_0000);
    write(0x48, 4, 2);
    expect([read(0x4a, 2), read(0x4c, 1)]).toEqual([3, 0]);
    write(8, 0);
    expect([read(8), read(0x40), read(0x4a, 2)]).toEqual([0, 0, 0]);
  });

  test("the wall clock counts at 24 MHz", () => {
    let now = 0;
    const { read } = plug(new HdaDevice({ now: () => now }));
    now = 2;
    expect(read(0x30)).toBe(48_000);
  });
});

describe("pci VGA", () => {
  test("tells of a monitor that adds up", () => {
    const { read } = plug(new VgaDevice({ memory: 4 }), 2);
    const edid = Array.from({ length: 256 }, (_, n) => read(n, 1));
    const sum = (from: number): number => edid.slice(from, from + 128).reduce((total, byte) => total + byte, 0) & 0xff;
    expect([edid.slice(0, 8), sum(0), sum(128)]).toEqual([[0, 255, 255, 255, 255, 255, 255, 0], 0, 0]);
    // Clock of the preferred timing, in units of 10 kHz.
    expect(edid[54]! | (edid[55]! << 8)).toBe(10_730);
    expect(String.fromCharCode(...edid.slice(113, 125))).toBe("QEMU Monitor");
  });

  test("the extension keeps a mode within its memory", () => {
    const { read, write } = plug(new VgaDevice({ memory: 4 }), 2);
    const registers = (): number[] => Array.from({ length: 11 }, (_, n) => read(0x500 + n * 2, 2));
    expect([registers()[0], registers()[10], read(0x514), read(0x604)]).toEqual([0xb0c5, 64, 64, 0x1e1e_1e1e]);
    for (const [index, value] of [
      [1, 1024],
      [2, 4000],
      [3, 32],
      [4, 1],
    ] as const) {
      write(0x500 + index * 2, value, 2);
    }
    expect(registers().slice(1, 8)).toEqual([1024, 1024, 32, 1, 0, 1024, 1024]);
    write(0x502, 640, 2);
    expect(registers().slice(1, 8)).toEqual([640, 1024, 32, 1, 0, 1024, 1024]);
  });

  test("a combined write reaches video memory whole, and nothing else", () => {
    const device = new VgaDevice({ memory: 1 });
    device.writeBarBurst(0, 6, Uint8Array.from([1, 2, 3]));
    expect([...device.memory.subarray(4, 10)]).toEqual([0, 0, 1, 2, 3, 0]);
    device.writeBarBurst(0, device.memory.length - 2, Uint8Array.from([7, 8, 9]));
    device.writeBarBurst(2, 0x604, Uint8Array.from([0xbe, 0xbe, 0xbe, 0xbe]));
    expect(device.memory.at(-1)).toBe(0);
    const out = new Uint32Array(2);
    device.readBar(2, 0x604, 4, out);
    expect(out[0]).toBe(0x1e1e_1e1e);
  });

  test("monochrome and colour ports are there in turn; the window follows planes and masks", () => {
    const device = new VgaDevice({ memory: 1 });
    const { legacy } = device;
    const set = (port: number, index: number, value: number): void => {
      legacy.writePort(port, index);
      legacy.writePort(port + 1, value);
    };
    expect([legacy.readPort(0x3d4), legacy.readPort(0x3b4), legacy.readPort(0x3d0)]).toEqual([0xff, 0, 0xff]);
    legacy.writePort(0x3c2, 1);
    expect([legacy.readPort(0x3d4), legacy.readPort(0x3b4)]).toEqual([0, 0xff]);
    set(0x3c4, 2, 0x0f);
    set(0x3ce, 8, 0xff);
    legacy.writeMemory(1, 0x42);
    expect([...device.memory.subarray(4, 8)]).toEqual([0x42, 0x42, 0x42, 0x42]);
    set(0x3c4, 2, 0x04);
    legacy.writeMemory(1, 0x99);
    expect([...device.memory.subarray(4, 8)]).toEqual([0x42, 0x42, 0x99, 0x42]);
    set(0x3ce, 4, 2);
    expect(legacy.readMemory(1)).toBe(0x99);
    set(0x3c4, 4, 8);
    expect(legacy.readMemory(6)).toBe(0x99);
    set(0x3ce, 6, 0x0c);
    expect([legacy.readMemory(0), legacy.readMemory(0x1_8004)]).toEqual([0xff, 0x42]);
  });

  test("no sequence of port and memory accesses throws", () => {
    const access = fc.tuple(fc.integer({ min: 0x3b0, max: 0x3df }), fc.nat(255), fc.nat(0x1_ffff));
    fc.assert(
      fc.property(fc.array(access, { maxLength: 80 }), (accesses) => {
        const device = new VgaDevice({ memory: 1 });
        for (const [port, value, at] of accesses) {
          device.legacy.writePort(port, value);
          device.legacy.writeMemory(at, value);
          for (const byte of [device.legacy.readPort(port), device.legacy.readMemory(at)]) {
            expect(Number.isInteger(byte) && byte >= 0 && byte <= 255).toBe(true);
          }
        }
        device.reset("power");
        expect(device.legacy.readPort(0x3cc)).toBe(0);
      }),
      { numRuns: 40 },
    );
  });
});

describe("pci test device", () => {
  test("a chosen test shows its header and counts what it asked for", () => {
    const device = new PciTestDevice();
    const memory = plug(device, 0);
    const ports = plug(device, 1);
    expect(memory.read(0)).toBe(0);
    memory.write(0, 0, 1);
    expect([memory.read(0), memory.read(4), memory.read(8), memory.read(0x10)]).toEqual([
      0x100, 0x800, 0xfa, 0x6f69_6d6d,
    ]);
    memory.write(0x800, 0xfa, 1);
    memory.write(0x800, 0xfb, 1);
    memory.write(0x800, 0xfa, 4);
    expect(memory.read(12)).toBe(1);
    ports.write(0, 1, 1);
    expect([memory.read(0), ports.read(0), ports.read(4), ports.read(8)]).toEqual([0, 0x104, 0x84, 0xce]);
    ports.write(0x84, 0x12, 2);
    expect(ports.read(12)).toBe(1);
    ports.write(0, 3, 1);
    expect(ports.read(4)).toBe(0);
  });
});

describe("pci chipset", () => {
  test("host bridge and LPC bridge say where things are", () => {
    const bridge = new Q35HostBridge();
    expect([bridge.config.read(0x60, 4), bridge.config.read(0x90, 4)]).toEqual([0xb000_0001, 0x1111_1110]);
    const lpc = new Ich9Lpc();
    expect([lpc.config.read(0x40, 4), lpc.config.read(0x60, 4), lpc.config.read(0xf0, 4)]).toEqual([
      0x601, 0x8b8b_8a8a, 0xfed1_c001,
    ]);
  });

  test("an SMBus transaction ends with a device error, and interrupts when asked", () => {
    const { irq, read, write } = plug(new Ich9Smbus(), 4);
    expect([read(0, 1), read(0, 1)]).toEqual([0, 0x40]);
    write(2, 0x41, 1);
    expect([read(0, 1) & 0x3f, irq.level]).toEqual([4, true]);
    write(0, 0xff, 1);
    expect([read(0, 1) & 0x3f, irq.level]).toEqual([0, false]);
  });

  test("AHCI shows six ports with nothing at them", () => {
    const { read, write } = plug(new Ich9Ahci(), 5);
    expect([read(0) & 0x1f, read(0xc), read(0x124), read(0x120)]).toEqual([5, 0x3f, 0xffff_ffff, 0x7f]);
    write(4, 0x8000_0003);
    expect(read(4)).toBe(0x8000_0000);
  });

  test("the virtio console lists its five structures", () => {
    const { config } = new VirtioSerial();
    const found = [...capabilities(config)].map((at) => [config.read(at, 1), config.read(at + 3, 1)]);
    expect(found).toEqual([[0x11, 0], ...[5, 2, 4, 3, 1].map((type) => [9, type])]);
  });
});

describe("pci bridges: as their parts have them", () => {
  test("capabilities in list order", () => {
    const ids = (kind: BridgeDevice["kind"]): number[] => {
      const { config } = new BridgeDevice({ kind });
      return [...capabilities(config)].map((at) => config.read(at, 1));
    };
    expect([ids("root-port"), ids("upstream-port"), ids("downstream-port"), ids("pcie-pci-bridge")]).toEqual([
      [0x10, 0x11, 0x0d],
      [0x10, 0x0d, 0x05],
      [0x10, 0x0d, 0x05],
      [0x05, 0x01, 0x10, 0x0c],
    ]);
  });

  test("a slot says whether it can be hot-plugged, and its number", () => {
    const slot = (hotplug: boolean): number =>
      new BridgeDevice({ kind: "root-port", slot: 100, hotplug }).config.read(0x68, 4);
    expect([slot(true), slot(false)]).toEqual([0x0322_007b, 0x0322_001b]);
  });

  test("the hot-plug controller shows one dword of its registers at a time", () => {
    const bridge = new BridgeDevice({ kind: "pcie-pci-bridge" });
    bridge.config.write(0x42, 1, 0x27);
    expect(bridge.config.read(0x44, 4)).toBe(0x7f00_0d0f);
    bridge.config.write(0x42, 1, 1);
    expect(bridge.config.read(0x44, 4)).toBe(31);
  });
});

describe("pci start: firmware and kernel", () => {
  const express = () => nvme({ disk: nullDisk(512) });
  const start = (remapping?: number) =>
    PciTopology.fromDescription(
      {
        domains: [
          {
            command: 0x103,
            interrupts: {
              slots: [{ devices: [0, 31], rotate: true, gsi: 20 }],
              lines: [10, 10, 11, 11],
            },
            ports: { firstIrq: 25, ...(remapping !== undefined && { remapping }) },
            devices: [
              {
                at: "02.0",
                bridge: "root-port",
                driver: "pcieport",
                hotplug: true,
                children: [{ at: "00.0", device: express(), command: 0x107 }],
              },
              {
                at: "03.0",
                bridge: "root-port",
                driver: "pcieport",
                children: [plain("00.0", 0x12341234, 0x00ff00, { interruptPin: 2 })],
              },
              {
                at: "04.0",
                bridge: "root-port",
                driver: "pcieport",
                children: [
                  {
                    at: "00.0",
                    bridge: "upstream-port",
                    driver: "pcieport",
                    children: [{ at: "00.0", bridge: "downstream-port", driver: "pcieport", hotplug: true }],
                  },
                ],
              },
              plain("05.0", 0x12341235, 0x0c0300, { interruptPin: 1 }),
            ],
          },
        ],
      },
      { models },
    );

  test("links train to what both ends can do", () => {
    const topology = start();
    const status = (bdf: string): number => {
      const { config } = topology.get(bdf);
      return config.read(config.findCapability(0x10) + 18, 2);
    };
    expect([status("00:02.0"), status("00:03.0"), status("04:00.0")]).toEqual([0x2011, 0x2204, 0x2000]);
  });

  test("pins turn on their way up, lines are firmware's until a function is enabled", () => {
    const topology = start();
    const wired = (bdf: string): number[] => {
      const fn = topology.get(bdf);
      return [fn.config.read(0x3c, 1), fn.irq, fn.gsi];
    };
    expect([wired("01:00.0"), wired("02:00.0"), wired("00:05.0")]).toEqual([
      [11, 11, 22],
      [10, 10, 20],
      [10, 21, 21],
    ]);
    topology.get("01:00.0").routeInterrupt();
    expect(topology.get("01:00.0").irq).toBe(22);
  });

  test("port drivers report errors, watch their slots and take a message each", () => {
    const topology = start(16);
    const [hot, cold, switched] = ["00:02.0", "00:03.0", "04:00.0"].map((bdf) => topology.get(bdf).config);
    expect([hot!.read(4, 2), hot!.read(0x5c, 2), hot!.read(0x6c, 2), hot!.read(0x12c, 4)]).toEqual([
      0x507, 0xf, 0x1f1, 7,
    ]);
    expect([cold!.read(0x6c, 2), cold!.read(0x3e, 2)]).toEqual([0x1c0, 2]);
    expect([switched!.read(0x72, 2), switched!.read(0x74, 4), topology.get("04:00.0").irq]).toEqual([
      0x81,
      0xfee0_0018 + 19 * 32,
      28,
    ]);
    expect(topology.get("01:00.0").config.read(4, 2)).toBe(0x107);
  });
});
