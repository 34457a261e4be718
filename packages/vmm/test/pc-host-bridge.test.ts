import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PcHostBridge } from "../src/machines/pc/host-bridge.ts";
import { ECAM, IO_WINDOW, MEM32_WINDOW, mem64Window, pciGsi } from "../src/machines/pc/memory-map.ts";
import { PortBus, type PortWidth } from "../src/machines/pc/ports.ts";
import { EmulatedEndpoint } from "../src/pci/emulated.ts";
import type { EndpointWires } from "../src/pci/endpoint.ts";
import { TestFunction } from "./fakes.ts";
import { property } from "./property.ts";

const NO_DMA = { read: () => false, write: () => false };
const MEM64 = mem64Window(39, 0x2_0000_0000);
const out = new Uint32Array(2);

class WiredEndpoint extends EmulatedEndpoint {
  wires: EndpointWires | undefined;

  override connect(wires: EndpointWires): void {
    super.connect(wires);
    this.wires = wires;
  }
}

function setup(slot = 3) {
  const ports = new PortBus();
  const gsis: [number, boolean][] = [];
  const messages: number[][] = [];
  const bridge = new PcHostBridge({
    mem64: MEM64,
    setGsi: (gsi, level) => gsis.push([gsi, level]),
    sendMessage: (hi, lo, data) => messages.push([hi, lo, data]),
  });
  bridge.attach(ports);
  const device = new TestFunction();
  const endpoint = new WiredEndpoint("test", device, NO_DMA);
  bridge.plug(endpoint, slot);
  const select = (devfn: number, register: number): void =>
    ports.write(0xcf8, 4, (0x8000_0000 + devfn * 0x100 + register) >>> 0);
  return { ports, bridge, device, endpoint, gsis, messages, select };
}

describe("vmm pc: PCI configuration mechanism #1", () => {
  it("passes Linux's probe: a byte at 0xcfb changes nothing, and the enable bit reads back", () => {
    const { ports } = setup();
    ports.write(0xcfb, 1, 1);
    const before = ports.read(0xcf8, 4);
    ports.write(0xcf8, 4, 0x8000_0000);
    expect(ports.read(0xcf8, 4)).toBe(0x8000_0000);
    expect(before).toBe(0);
  });

  it("shows a host bridge in slot 0, the functions, and ones elsewhere", () => {
    const { ports, select } = setup();
    select(0, 0);
    expect(ports.read(0xcfc, 4)).toBe(0x29c0_8086);
    select(0, 8);
    expect(ports.read(0xcfe, 2)).toBe(0x0600);
    select(3 << 3, 0);
    expect(ports.read(0xcfc, 4)).toBe(0x5678_1234);
    expect(ports.read(0xcfd, 2)).toBe(0x7812);
    expect(ports.read(0xcff, 1)).toBe(0x56);
    for (const devfn of [4 << 3, (3 << 3) + 1, 0x100 + (3 << 3)]) {
      select(devfn, 0);
      expect(ports.read(0xcfc, 4)).toBe(0xffffffff);
    }
    ports.write(0xcf8, 4, 3 << 11);
    expect(ports.read(0xcfc, 2)).toBe(0xffff);
  });

  it("writes bytes, words, words between, and dwords", () => {
    const { ports, device, select } = setup();
    select(3 << 3, 0x10);
    ports.write(0xcfc, 4, 0xc123_4000);
    ports.write(0xcff, 1, 0xd0);
    ports.write(0xcfd, 2, 0x5577);
    expect(device.config.read(0x10, 4)).toBe(0xd055_7000);
    ports.write(0xcfe, 2, 0xc0de);
    expect(ports.read(0xcfc, 4)).toBe(0xc0de_7000);
    select(0x100 + (3 << 3), 0x10);
    ports.write(0xcfc, 4, 0);
    expect(device.config.read(0x10, 4)).toBe(0xc0de_7000);
  });

  const registers = fc.tuple(fc.nat(0xff), fc.nat(0xff), fc.constantFrom(1, 2, 4));
  const configWrite = fc.tuple(registers, fc.boolean(), fc.integer({ min: 0, max: 0xffffffff }));
  property(
    "agrees with ECAM on every register, whichever of them wrote",
    [fc.array(configWrite, { maxLength: 20 }), fc.array(registers, { minLength: 1, maxLength: 20 })],
    (writes, reads) => {
      const { ports, bridge, select } = setup();
      const aligned = ([devfn, offset, width]: [number, number, number]) =>
        [devfn & 1 ? 3 << 3 : devfn, offset - (offset % width), width as PortWidth] as const;
      for (const [at, ecam, value] of writes) {
        const [devfn, offset, width] = aligned(at);
        select(devfn, offset & 0xfc);
        if (ecam) bridge.ecamWrite(devfn * 0x1000 + offset, width, value % 2 ** (width * 8));
        else ports.write(0xcfc + (offset & 3), width, value % 2 ** (width * 8));
      }
      for (const at of reads) {
        const [devfn, offset, width] = aligned(at);
        select(devfn, offset & 0xfc);
        const value = ports.read(0xcfc + (offset & 3), width);
        expect(bridge.ecamRead(devfn * 0x1000 + offset, width)).toBe(value);
        expect(bridge.read(ECAM.start + devfn * 0x1000 + offset, width, out)).toBe(true);
        expect(out[0]).toBe(value);
      }
    },
  );
});

describe("vmm pc: PCI host bridge", () => {
  it("reaches extended registers through ECAM only where a function has them", () => {
    const { bridge } = setup();
    expect(bridge.ecamRead((3 << 15) + 0x100, 4)).toBe(0xffffffff);
    expect(bridge.ecamRead((3 << 15) + 0xfd, 2)).toBe(0xffff);
    bridge.ecamWrite((3 << 15) + 0x100, 4, 1);
    expect(bridge.read(ECAM.start + (3 << 15), 8, out)).toBe(true);
    expect(out[0]).toBe(0x5678_1234);
    expect(out[1]).toBe(bridge.ecamRead((3 << 15) + 4, 4));
    expect(bridge.write(ECAM.start + (3 << 15) + 0x10, 8, 0xc000_0000, 0xd0)).toBe(true);
    expect(bridge.ecamRead((3 << 15) + 0x10, 4)).toBe(0xc000_0000);
    expect(bridge.ecamRead((3 << 15) + 0x14, 4) & ~0xf).toBe(0);
    expect(bridge.read(ECAM.start + ECAM.size, 4, out)).toBe(false);
    expect(bridge.write(ECAM.start - 0x2000_0001, 4, 0, 0)).toBe(false);
  });

  it("decodes memory BARs in both windows and I/O BARs at ports, while COMMAND allows", () => {
    const { bridge, ports, device } = setup();
    const config = (offset: number, value: number): void => bridge.ecamWrite((3 << 15) + offset, 4, value);
    config(0x10, MEM32_WINDOW.start + 0x10_0000);
    config(0x14, 0x2000);
    config(0x18, MEM64.start / 2 ** 32);
    config(0x1c, IO_WINDOW.start + 0x40);
    device.registers[4] = 0x77;
    expect(bridge.read(MEM32_WINDOW.start + 0x10_0004, 1, out)).toBe(true);
    expect(out[0]).toBe(0xff);
    expect(ports.read(IO_WINDOW.start + 0x44, 1)).toBe(0xff);
    config(4, 3);
    bridge.read(MEM32_WINDOW.start + 0x10_0004, 1, out);
    expect(out[0]).toBe(0x77);
    bridge.read(MEM64.start + 0x2000 + 12, 4, out);
    expect(out[0]).toBe(1);
    expect(ports.read(IO_WINDOW.start + 0x44, 2)).toBe(0x77);
    ports.write(IO_WINDOW.start + 0x44, 1, 0x55);
    expect(device.registers[4]).toBe(0x55);
    bridge.write(MEM32_WINDOW.start + 0x10_0004, 8, 0x1234_5678, 0xd00f);
    expect([...device.registers.subarray(4, 12)]).toEqual([0x78, 0x56, 0x34, 0x12, 0x0f, 0xd0, 0, 0]);
    expect(bridge.unclaimed).toBe(2);
    expect(ports.unclaimed).toBe(0);
  });

  it("a memory access never reaches ports, nor a BAR in the wrong window", () => {
    const { bridge } = setup();
    bridge.ecamWrite((3 << 15) + 0x1c, 4, IO_WINDOW.start);
    bridge.ecamWrite((3 << 15) + 0x10, 4, ECAM.start);
    bridge.ecamWrite((3 << 15) + 4, 2, 3);
    expect(bridge.read(IO_WINDOW.start, 4, out)).toBe(false);
    bridge.read(ECAM.start, 4, out);
    expect(out[0]).toBe(0x29c0_8086);
  });

  it("leads pins to the inputs that the interrupt tables name, and messages to who sends them", () => {
    for (const slot of [1, 8, 31]) {
      const { bridge, device, endpoint, gsis, messages } = setup(slot);
      const gsi = pciGsi(slot, 1);
      expect(endpoint.wires?.gsi).toBe(gsi);
      device.pin(true);
      bridge.pinEnded(gsi);
      device.pin(false);
      expect(gsis).toEqual([
        [gsi, true],
        [gsi, false],
      ]);
      device.config.write(4, 2, 4);
      device.msi?.program(0, 0xfee0_1000, 0x41, true);
      expect(device.interrupt(0)).toBe(true);
      expect(messages).toEqual([[0, 0xfee0_1000, 0x41]]);
    }
  });

  it("has no 64-bit window where RAM leaves none", () => {
    const none = mem64Window(36, 2 ** 36);
    const bridge = new PcHostBridge({ mem64: none, setGsi: () => {}, sendMessage: () => {} });
    bridge.plug(new EmulatedEndpoint("test", new TestFunction(), NO_DMA), 1);
    bridge.ecamWrite((1 << 15) + 4, 2, 3);
    expect(bridge.read(0, 4, out)).toBe(false);
  });
});
