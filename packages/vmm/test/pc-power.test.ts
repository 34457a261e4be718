import { describe, expect, it } from "vitest";
import { PORT_PM, SLP_TYP_S5 } from "../src/machines/pc/memory-map.ts";
import { PortBus } from "../src/machines/pc/ports.ts";
import { PowerControl } from "../src/machines/pc/power.ts";

function setup() {
  const stops: string[] = [];
  const sci: boolean[] = [];
  const clock = { ms: 0 };
  const ports = new PortBus();
  const power = new PowerControl({
    stop: (reason) => stops.push(reason),
    sci: (level) => sci.push(level),
    now: () => clock.ms,
  });
  power.attach(ports);
  return { stops, sci, clock, ports, power };
}

const SLEEP = 0x2000;
const type = (n: number): number => n << 10;

describe("vmm pc: ACPI fixed hardware", () => {
  it("switches off for the type that is S5 together with the enable bit, by words or by bytes", () => {
    const { ports, stops } = setup();
    ports.write(PORT_PM + 4, 2, type(SLP_TYP_S5));
    for (let other = 0; other < 8; other++) if (other !== SLP_TYP_S5) ports.write(PORT_PM + 4, 2, SLEEP | type(other));
    expect(stops).toEqual([]);
    ports.write(PORT_PM + 4, 2, SLEEP | type(SLP_TYP_S5));
    ports.write(PORT_PM + 5, 1, (SLEEP | type(SLP_TYP_S5)) >> 8);
    expect(stops).toEqual(["power-off", "power-off"]);
  });

  it("is in ACPI mode whatever is written, and reads the sleep type back without the enable bit", () => {
    const { ports } = setup();
    expect(ports.read(PORT_PM + 4, 2)).toBe(1);
    ports.write(PORT_PM + 4, 2, SLEEP | type(3) | 2);
    expect(ports.read(PORT_PM + 4, 2)).toBe(type(3) | 3);
    ports.write(PORT_PM + 4, 1, 0);
    expect(ports.read(PORT_PM + 4, 2)).toBe(type(3) | 1);
  });

  it("raises the SCI while the button was pressed and its event is enabled", () => {
    const { ports, power, sci } = setup();
    power.pressPowerButton();
    expect(ports.read(PORT_PM, 4)).toBe(0x0100);
    expect(sci).toEqual([]);
    ports.write(PORT_PM + 2, 2, 0xffff);
    expect(ports.read(PORT_PM + 2, 2)).toBe(0x0721);
    expect(sci).toEqual([true]);
    ports.write(PORT_PM, 2, 0xfeff);
    expect(sci).toEqual([true]);
    ports.write(PORT_PM + 1, 1, 0x01);
    expect(sci).toEqual([true, false]);
    expect(ports.read(PORT_PM, 2)).toBe(0);
    ports.write(PORT_PM + 3, 1, 0);
    expect(ports.read(PORT_PM + 2, 2)).toBe(0x0021);
    power.pressPowerButton();
    expect(sci).toEqual([true, false]);
  });

  it("counts time at 3.579545 MHz in 32 bits", () => {
    const { ports, clock } = setup();
    const read = () => ports.read(PORT_PM + 8, 4);
    expect(read()).toBe(0);
    clock.ms = 1000;
    expect(read()).toBe(3_579_545);
    expect(ports.read(PORT_PM + 9, 1)).toBe((3_579_545 >> 8) & 0xff);
    expect(ports.read(PORT_PM + 10, 2)).toBe(3_579_545 >> 16);
    clock.ms = (2 ** 32 / 3_579_545) * 1000 + 1;
    expect(read()).toBe(3579);
    clock.ms -= 2;
    expect(read()).toBe(2 ** 32 - 3580);
    ports.write(PORT_PM + 8, 4, 0);
    expect(read()).toBe(2 ** 32 - 3580);
  });
});

describe("vmm pc: reset by port", () => {
  it("the reset control register resets on an edge, alone or after a choice of kind", () => {
    for (const writes of [[6], [2, 6], [0x0a, 0x0e], [4]]) {
      const { ports, stops } = setup();
      for (const value of writes) ports.write(0xcf9, 1, value);
      ports.write(0xcf9, 1, 6);
      expect(stops).toEqual(["reset"]);
    }
    const { ports, stops } = setup();
    ports.write(0xcf9, 1, 0xf3);
    expect(ports.read(0xcf9, 1)).toBe(2);
    expect(stops).toEqual([]);
  });

  it("port 0x92 keeps A20 as written, and its bit 0 resets", () => {
    const { ports, stops } = setup();
    expect(ports.read(0x92, 1)).toBe(2);
    ports.write(0x92, 1, 0);
    expect(ports.read(0x92, 1)).toBe(0);
    ports.write(0x92, 1, 2);
    expect(stops).toEqual([]);
    ports.write(0x92, 1, 3);
    ports.write(0x92, 1, 3);
    expect(stops).toEqual(["reset"]);
  });

  it("the keyboard controller resets on a pulse of line 0", () => {
    const { ports, stops } = setup();
    for (const command of [0xaa, 0x20, 0xd1, 0xff, 0xfd, 0xfb]) ports.write(0x64, 1, command);
    ports.write(0x60, 1, 0xfe);
    expect(stops).toEqual([]);
    ports.write(0x64, 1, 0xfe);
    ports.write(0x64, 1, 0xf0);
    expect(stops).toEqual(["reset", "reset"]);
  });

  it("a driver that drains the keyboard controller gives up, and one that waits to write need not", () => {
    const { ports } = setup();
    for (let n = 0; n <= 16; n++) {
      expect(ports.read(0x64, 1) & 3).toBe(1);
      ports.read(0x60, 1);
    }
  });

  it("swallows progress codes", () => {
    const { ports } = setup();
    ports.write(0x80, 1, 0x55);
    expect(ports.unclaimed).toBe(0);
  });
});
