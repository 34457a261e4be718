import { describe, expect, it } from "vitest";
import { IO_WINDOW, MEM32_WINDOW, MEM64_WINDOW, pciLiobn } from "../src/machines/pseries/memory-map.ts";
import { EmulatedEndpoint } from "../src/pci/emulated.ts";
import { bench, TestFunction } from "./fakes.ts";

const NO_DMA = { read: () => false, write: () => false };
const out = new Uint32Array(2);

describe("vmm pseries: PCI host bridge", () => {
  it("decodes BARs of each kind while COMMAND allows", () => {
    const { machine, device } = bench();
    const { phb } = machine;
    phb.writeConfig(0x810, 4, 0x8010_0000);
    phb.writeConfig(0x814, 4, 0x0000_2000);
    phb.writeConfig(0x818, 4, 0x2100);
    phb.writeConfig(0x81c, 4, 0x40);
    device.registers[4] = 0x77;
    phb.read(MEM32_WINDOW.cpu + 0x10_0004, 1, out);
    expect(out[0]).toBe(0xff);
    phb.writeConfig(0x804, 2, 3);
    phb.read(MEM32_WINDOW.cpu + 0x10_0004, 1, out);
    expect(out[0]).toBe(0x77);
    phb.read(MEM64_WINDOW.cpu + 0x2000 + 12, 4, out);
    expect(out[0]).toBe(1);
    expect(phb.write(IO_WINDOW.cpu + 0x44, 1, 0x55, 0)).toBe(true);
    expect(device.registers[4]).toBe(0x55);
    phb.writeConfig(0x804, 2, 1);
    phb.read(MEM32_WINDOW.cpu + 0x10_0004, 1, out);
    expect(out[0]).toBe(0xff);
    expect(phb.unclaimed).toBe(2);
  });

  it("does not decode a BAR that sticks out of its window", () => {
    const { machine } = bench();
    machine.phb.writeConfig(0x810, 4, 0x7000_0000);
    machine.phb.writeConfig(0x804, 2, 2);
    machine.mmioRead(MEM32_WINDOW.cpu, 4, out);
    expect(out[0]).toBe(0xffffffff);
  });

  it("reads ones, counted, where nothing is at all", () => {
    const { machine } = bench();
    machine.mmioRead(0x3000_0000_0000, 8, out);
    machine.mmioWrite(0x3000_0000_0000, 8, 1, 2);
    expect([...out]).toEqual([0xffffffff, 0xffffffff]);
    expect(machine.strayAccesses).toBe(2);
  });

  it("fills slots from 1 and refuses one that is taken or does not exist", () => {
    const { machine } = bench();
    const endpoint = (): EmulatedEndpoint => new EmulatedEndpoint("x", new TestFunction(), NO_DMA);
    expect(machine.phb.plug(endpoint(), 5)).toBe(5);
    expect(machine.phb.plug(endpoint())).toBe(2);
    for (const slot of [5, 0, 32, 1.5]) {
      expect(() => machine.phb.plug(endpoint(), slot)).toThrow(expect.objectContaining({ code: "USAGE_DEVICE" }));
    }
  });

  it("keeps a shared line high until every function has let go", () => {
    const { machine, device } = bench();
    const other = new TestFunction();
    machine.phb.plug(new EmulatedEndpoint("other", other, NO_DMA), 5);
    machine.xics.route(0x1201, 0, 5);
    machine.xics.setCppr(0xff);
    device.pin(true);
    other.pin(true);
    device.pin(false);
    const xirr = machine.xics.accept();
    expect(xirr & 0xffffff).toBe(0x1201);
    machine.xics.endOfInterrupt(xirr);
    expect(machine.xics.poll() & 0xffffff).toBe(0x1201);
    other.pin(false);
    machine.xics.endOfInterrupt(machine.xics.accept());
    expect(machine.xics.poll() & 0xffffff).toBe(0);
  });
});

describe("vmm pseries: DMA of an emulated function", () => {
  it("goes through TCEs, page by page, with their permissions", () => {
    const { machine, device, ram } = bench();
    const table = machine.tables.find(pciLiobn(0))!;
    machine.tables.store(table, 1, 0, 0x3003);
    machine.tables.store(table, 2, 0, 0x8001);
    ram.setU8(0x3fff, 0x11);
    ram.setU8(0x8000, 0x22);
    const two = new Uint8Array(2);
    expect(device.dma.read(0, 0x1fff, two)).toBe(false);
    device.config.write(4, 2, 4);
    expect(device.dma.read(0, 0x1fff, two)).toBe(true);
    expect([...two]).toEqual([0x11, 0x22]);
    expect(device.dma.write(0, 0x1ffe, Uint8Array.from([1]))).toBe(true);
    expect(ram.u8at(0x3ffe)).toBe(1);
    expect(device.dma.write(0, 0x1fff, two)).toBe(false);
    expect(device.dma.read(0, 0x5000, two)).toBe(false);
    expect(device.dma.read(1, 0x1000, two)).toBe(false);
  });
});
