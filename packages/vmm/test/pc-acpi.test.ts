import { describe, expect, it } from "vitest";
import { aml } from "../src/boot/index.ts";
import { pcAcpiTables } from "../src/machines/pc/acpi.ts";
import {
  BIOS_AREA,
  ECAM,
  IO_WINDOW,
  MEM32_WINDOW,
  mem64Window,
  PORT_COM1,
  PORT_PM,
  PORT_RESET,
  pciGsi,
  RESERVED_RANGES,
  SLP_TYP_S5,
} from "../src/machines/pc/memory-map.ts";
import { letters, reachTables, readInteger, readPkgLength, readTable, readTemplate, sum } from "./acpi-walk.ts";

const mem64 = mem64Window(39, 2 ** 33);
const made = pcAcpiTables({ cpus: 3, mem64 });
const tables = reachTables(made);
const dsdt = tables.get("DSDT")!.bytes;

/** Where `pattern` is, once, in the DSDT. */
function locate(pattern: Uint8Array, from = 0): number {
  const at = Buffer.from(dsdt).indexOf(pattern, from);
  expect(at).toBeGreaterThan(0);
  return at;
}
/** Where the value of a name begins, behind `from`. */
const locateValue = (name: string, from = 0): number => {
  const pattern = new Uint8Array([0x08, ...aml.nameString(name)]);
  return locate(pattern, from) + pattern.length;
};
const device = (name: string): number => locate(aml.nameString(name));

describe("vmm pc: ACPI tables", () => {
  it("are all found, sum to zero, lie apart and in memory that is reserved", () => {
    expect([...tables.keys()].sort()).toEqual(["APIC", "DSDT", "FACP", "FACS", "MCFG", "XSDT"]);
    const root = made.bytes.subarray(made.rsdpAddress - made.address);
    expect(letters(root, 0, 8)).toBe("RSD PTR ");
    expect(sum(root.subarray(0, 20))).toBe(0);
    expect(sum(root.subarray(0, 36))).toBe(0);
    const places = [{ from: made.rsdpAddress, to: made.rsdpAddress + 36 }];
    for (const { signature, address, bytes } of tables.values()) {
      if (signature !== "FACS") expect(sum(bytes), signature).toBe(0);
      expect(address % (signature === "FACS" ? 64 : 16)).toBe(0);
      places.push({ from: address, to: address + bytes.length });
    }
    places.sort((a, b) => a.from - b.from);
    for (const [index, { to }] of places.entries()) {
      expect(to).toBeLessThanOrEqual(places[index + 1]?.from ?? BIOS_AREA.start + BIOS_AREA.size);
    }
    const reserved = RESERVED_RANGES.find(({ start, size }) => made.address >= start && made.address < start + size)!;
    expect(made.address).toBe(BIOS_AREA.start);
    expect(reserved.start + reserved.size).toBeGreaterThanOrEqual(BIOS_AREA.start + BIOS_AREA.size);
    expect(made.rsdpAddress % 16).toBe(0);
  });

  it("tell of the power management block, the reset port, and what a PC has not", () => {
    const { view } = tables.get("FACP")!;
    expect([56, 64, 76].map((at) => view.getUint32(at, true))).toEqual([PORT_PM, PORT_PM + 4, PORT_PM + 8]);
    expect(view.getUint16(46, true)).toBe(9);
    expect([view.getUint32(120, true), view.getUint8(128)]).toEqual([PORT_RESET, 6]);
    // Devices at ISA's ports and a clock, but neither a keyboard controller nor a VGA; messages and ASPM are allowed.
    expect(view.getUint16(109, true)).toBe(0b101);
    const flags = view.getUint32(112, true);
    expect((flags >>> 8) & 1).toBe(1);
    expect((flags >>> 20) & 1).toBe(0);
  });

  it("list CPUs, and the two interrupts that look different", () => {
    const { bytes } = tables.get("APIC")!;
    const entries: number[][] = [];
    for (let at = 44; at < bytes.length; at += bytes[at + 1]!)
      entries.push([...bytes.subarray(at, at + bytes[at + 1]!)]);
    expect(entries.filter(([type]) => type === 0).map(([, , uid, apic]) => [uid, apic])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
    expect(entries.filter(([type]) => type === 2)).toEqual([
      [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
      [2, 10, 0, 9, 9, 0, 0, 0, 13, 0],
    ]);
    expect(entries.map(([type]) => type)).toEqual([0, 0, 0, 1, 2, 2, 4]);
  });

  it("MCFG covers bus 0, which is as much as there is", () => {
    const { view } = tables.get("MCFG")!;
    expect(view.getBigUint64(44, true)).toBe(BigInt(ECAM.start));
    expect([view.getUint8(54), view.getUint8(55)]).toEqual([0, 0]);
    expect(ECAM.size).toBe(2 ** 20);
  });
});

describe("vmm pc: DSDT", () => {
  it("is terms whose lengths fill the table", () => {
    let at = 36;
    const seen: number[] = [];
    while (at < dsdt.length) {
      seen.push(dsdt[at]!);
      if (dsdt[at] === 0x10) at += 1 + readPkgLength(dsdt, at + 1).length;
      else break;
    }
    // The scope \_SB, then the name \_S5 with a package of four.
    expect(seen).toEqual([0x10, 0x08]);
    const s5 = at + 1 + aml.nameString("\\_S5").length;
    expect([...dsdt.subarray(s5)]).toEqual([...aml.pkg([SLP_TYP_S5, SLP_TYP_S5, 0, 0])]);
    expect(SLP_TYP_S5).toBeLessThan(8);
  });

  it("the bridge has the windows of the memory map and nothing else", () => {
    const [bus, ports, io, low, high, ...rest] = readTemplate(dsdt, locateValue("_CRS", device("PCI0")));
    expect(rest).toEqual([]);
    expect(bus!.data.getUint16(7, true)).toBe(0);
    expect(ports!.data.getUint16(1, true)).toBe(0xcf8);
    expect(io!.data.getUint16(5, true)).toBe(IO_WINDOW.start);
    expect(io!.data.getUint16(11, true)).toBe(IO_WINDOW.size);
    expect(low!.data.getUint32(7, true)).toBe(MEM32_WINDOW.start);
    expect(low!.data.getUint32(11, true)).toBe(MEM32_WINDOW.start + MEM32_WINDOW.size - 1);
    expect(high!.data.getBigUint64(11, true)).toBe(BigInt(mem64.start));
    expect(high!.data.getBigUint64(35, true)).toBe(BigInt(mem64.size));
  });

  it("has no window above 4 GiB when there is no room for one", () => {
    const { bytes } = reachTables(pcAcpiTables({ cpus: 1, mem64: { start: 0, size: 0 } })).get("DSDT")!;
    const name = Buffer.from([0x08, ...aml.nameString("_CRS")]);
    const first = Buffer.from(bytes).indexOf(name) + name.length;
    expect(readTemplate(bytes, first).map(({ tag }) => tag)).toEqual([0x88, 0x40, 0x88, 0x87]);
  });

  it("each pin of each slot leads to the GSI of the memory map", () => {
    const routes = readTable(dsdt, locateValue("_PRT"));
    expect(routes).toHaveLength(128);
    expect(new Set(routes.map(([address, pin]) => `${address}.${pin}`)).size).toBe(128);
    for (const [address, pin, source, gsi] of routes) {
      expect(Number(address! & 0xffffn)).toBe(0xffff);
      expect(source).toBe(0n);
      expect(Number(gsi)).toBe(pciGsi(Number(address! >> 16n), Number(pin) + 1));
    }
  });

  it("configuration space in memory is taken by the motherboard", () => {
    const [memory, ports] = readTemplate(dsdt, locateValue("_CRS", device("MRES")));
    expect(readInteger(dsdt, locateValue("_HID", device("MRES"))).value).toBe(0x020c_d041n);
    expect([memory!.data.getUint32(1, true), memory!.data.getUint32(5, true)]).toEqual([ECAM.start, ECAM.size]);
    expect([ports!.data.getUint16(1, true), ports!.data.getUint8(6)]).toEqual([PORT_PM, 12]);
  });

  it("the serial port is where the memory map has it", () => {
    const [ports, irq] = readTemplate(dsdt, locateValue("_CRS", device("COM1")));
    expect([ports!.data.getUint16(1, true), ports!.data.getUint8(6)]).toEqual([PORT_COM1, 8]);
    expect(irq!.data.getUint16(0, true)).toBe(1 << 4);
  });

  it("there is a processor device for each CPU, of the same number as in the MADT", () => {
    for (const index of [0, 1, 2]) {
      expect(readInteger(dsdt, locateValue("_UID", device(`C00${index}`))).value).toBe(BigInt(index));
    }
    expect(Buffer.from(dsdt).indexOf("C003")).toBe(-1);
  });

  it("254 CPUs fit", () => {
    const many = pcAcpiTables({ cpus: 254, mem64 });
    expect(many.bytes.length).toBeLessThanOrEqual(BIOS_AREA.size);
    expect(sum(reachTables(many).get("DSDT")!.bytes)).toBe(0);
  });
});
