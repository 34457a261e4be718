import { describe, expect, it } from "vitest";
import { IRQ_MSI_FIRST, PHB_BUID_HI, PHB_BUID_LO, pciLiobn } from "../src/machines/pseries/memory-map.ts";
import * as T from "../src/machines/pseries/rtas/tokens.ts";
import { bench, RAM_BYTES, RTAS_FRAME } from "./fakes.ts";

const BUID = [PHB_BUID_HI, PHB_BUID_LO] as const;
const SLOT1 = 0x800;

describe("vmm pseries RTAS: frames", () => {
  it("answers an unknown token and a wrong shape with -3", () => {
    const b = bench();
    expect(b.rtas(0x1234, [1, 2], 1)).toEqual([-3]);
    expect(b.rtas(T.RTAS_POWER_OFF, [1], 1)).toEqual([-3]);
    expect(b.machine.stopRequest).toBeUndefined();
  });

  it("writes nothing for a frame that is not in RAM or counts too many words", () => {
    const b = bench();
    expect(b.machine.rtas.dispatch(RAM_BYTES - 8)).toBe(-3);
    expect(b.machine.rtas.dispatch(-1)).toBe(-3);
    b.ram.setU32be(RTAS_FRAME, T.RTAS_GET_TIME_OF_DAY);
    b.ram.setU32be(RTAS_FRAME + 8, 1000);
    expect(b.machine.rtas.dispatch(RTAS_FRAME)).toBe(-3);
    expect(b.ram.u32be(RTAS_FRAME + 12)).toBe(0);
    expect(b.guardIntact()).toBe(true);
  });
});

describe("vmm pseries RTAS: platform", () => {
  it("tells the time", () => {
    expect(bench().rtas(T.RTAS_GET_TIME_OF_DAY, [], 8)).toEqual([0, 2020, 2, 3, 4, 5, 6, 7_000_000]);
  });

  it("ends the run at power-off and at reboot, the first request counting", () => {
    const b = bench();
    expect(b.rtas(T.RTAS_POWER_OFF, [0xffffffff, 0xffffffff], 1)).toEqual([0]);
    b.rtas(T.RTAS_SYSTEM_REBOOT, [], 1);
    expect(b.machine.stopRequest).toBe("power-off");
    const c = bench();
    c.rtas(T.RTAS_SYSTEM_REBOOT, [], 1);
    expect(c.machine.stopRequest).toBe("reset");
  });

  it("gives system parameter 20 cut to the buffer, and no other", () => {
    const b = bench();
    expect(b.rtas(T.RTAS_IBM_GET_SYSTEM_PARAMETER, [20, 0x2000, 8], 1)).toEqual([0]);
    expect(b.ram.u16be(0x2000)).toBeGreaterThan(20);
    expect(new TextDecoder().decode(b.ram.u8.slice(0x2002, 0x2008))).toBe("MaxEnt");
    expect(b.ram.u8at(0x2008)).toBe(0);
    expect(b.rtas(T.RTAS_IBM_GET_SYSTEM_PARAMETER, [44, 0x2000, 8], 1)).toEqual([-3]);
    expect(b.rtas(T.RTAS_IBM_GET_SYSTEM_PARAMETER, [20, RAM_BYTES - 4, 8], 1)).toEqual([-3]);
  });
});

describe("vmm pseries RTAS: PCI configuration", () => {
  it("reads and writes registers of the function in slot 1", () => {
    const b = bench();
    expect(b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT1, ...BUID, 4], 2)).toEqual([0, 0x56781234]);
    expect(b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT1 | 2, ...BUID, 2], 2)).toEqual([0, 0x5678]);
    expect(b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT1 | 0x10, ...BUID, 4, 0xffffffff], 1)).toEqual([0]);
    expect(b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT1 | 0x10, ...BUID, 4], 2)).toEqual([0, 0xfffff000]);
  });

  it.each<[string, number[], number]>([
    ["an absent slot", [0x1000, ...BUID, 4], -1],
    ["an absent function", [SLOT1 | 0x100, ...BUID, 4], -1],
    ["another bus", [0x10000 | SLOT1, ...BUID, 4], -1],
    ["a size of 3", [SLOT1, ...BUID, 3], -1],
    ["a misaligned register", [SLOT1 | 2, ...BUID, 4], -1],
    ["a register beyond 256 bytes", [0x10000000 | SLOT1, ...BUID, 4], -1],
    ["another bridge", [SLOT1, 1, 2, 4], -3],
  ])("refuses %s", (_, args, status) => {
    expect(bench().rtas(T.RTAS_IBM_READ_PCI_CONFIG, args, 2)[0]).toBe(status);
    expect(bench().rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [...args, 0], 1)[0]).toBe(status);
  });
});

describe("vmm pseries RTAS: message interrupts", () => {
  const change = (b: ReturnType<typeof bench>, fn: number, count: number, nret = 4): number[] =>
    b.rtas(T.RTAS_IBM_CHANGE_MSI, [SLOT1, ...BUID, fn, count, 1], nret);

  it("hands out MSI-X sources and programs the table", () => {
    const b = bench();
    expect(change(b, 4, 3)).toEqual([0, 3, 2, 2]);
    const table = b.device.msix!.table;
    expect([...table.subarray(4, 8)]).toEqual([0, 0x400, IRQ_MSI_FIRST + 1, 1]);
    const query = [SLOT1, ...BUID, 2];
    expect(b.rtas(T.RTAS_IBM_QUERY_INTERRUPT_SOURCE_NUMBER, query, 3)).toEqual([0, IRQ_MSI_FIRST + 2, 1]);
    expect(b.rtas(T.RTAS_IBM_QUERY_INTERRUPT_SOURCE_NUMBER, [SLOT1, ...BUID, 3], 3)[0]).toBe(-3);
  });

  it("hands out aligned MSI sources", () => {
    const b = bench();
    expect(change(b, 1, 3, 3)).toEqual([0, 3, 2]);
    expect(b.device.config.read(b.device.msi!.offset + 12, 2) % 4).toBe(0);
  });

  it("gives no more than the function has, releases, and refuses a second release", () => {
    const b = bench();
    expect(change(b, 4, 100)).toEqual([0, 8, 2, 2]);
    expect(change(b, 4, 0).slice(0, 2)).toEqual([0, 0]);
    expect(change(b, 4, 0)[0]).toBe(-1);
    expect(b.machine.xics.valid(IRQ_MSI_FIRST)).toBe(false);
    expect(change(b, 2, 1)[0]).toBe(-3);
  });

  it("delivers a message of the function as an interrupt", () => {
    const b = bench();
    change(b, 4, 2);
    b.rtas(T.RTAS_IBM_SET_XIVE, [IRQ_MSI_FIRST + 1, 0, 5], 1);
    b.machine.xics.setCppr(0xff);
    b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT1 | 4, ...BUID, 2, 4], 1);
    b.device.msix!.setControl(true);
    b.device.msix!.table[7] = 0;
    b.device.interrupt(1);
    expect(b.cpu.line).toBe(true);
    expect(b.machine.xics.accept() & 0xffffff).toBe(IRQ_MSI_FIRST + 1);
  });

  it("delivers the pin through the slot's line", () => {
    const b = bench();
    b.rtas(T.RTAS_IBM_SET_XIVE, [0x1201, 0, 5], 1);
    b.machine.xics.setCppr(0xff);
    b.device.pin(true);
    expect(b.machine.xics.accept() & 0xffffff).toBe(0x1201);
  });
});

describe("vmm pseries RTAS: interrupt sources", () => {
  it("routes, reads back, masks and unmasks a source", () => {
    const b = bench();
    expect(b.rtas(T.RTAS_IBM_SET_XIVE, [0x1100, 0, 5], 1)).toEqual([0]);
    expect(b.rtas(T.RTAS_IBM_GET_XIVE, [0x1100], 3)).toEqual([0, 0, 5]);
    expect(b.rtas(T.RTAS_IBM_INT_OFF, [0x1100], 1)).toEqual([0]);
    expect(b.rtas(T.RTAS_IBM_GET_XIVE, [0x1100], 3)).toEqual([0, 0, 0xff]);
    expect(b.rtas(T.RTAS_IBM_INT_ON, [0x1100], 1)).toEqual([0]);
    expect(b.rtas(T.RTAS_IBM_GET_XIVE, [0x1100], 3)).toEqual([0, 0, 5]);
  });

  it("refuses unknown sources, servers and priorities", () => {
    const b = bench();
    expect(b.rtas(T.RTAS_IBM_SET_XIVE, [0x1101, 0, 5], 1)).toEqual([-3]);
    expect(b.rtas(T.RTAS_IBM_SET_XIVE, [0x1100, 1, 5], 1)).toEqual([-3]);
    expect(b.rtas(T.RTAS_IBM_SET_XIVE, [0x1100, 0, 256], 1)).toEqual([-3]);
    expect(b.rtas(T.RTAS_IBM_GET_XIVE, [7], 3)[0]).toBe(-3);
    expect(b.rtas(T.RTAS_IBM_INT_ON, [7], 1)).toEqual([-3]);
  });
});

describe("vmm pseries RTAS: dynamic DMA windows", () => {
  const PE = [SLOT1, ...BUID];
  const query = (b: ReturnType<typeof bench>): number[] => b.rtas(T.RTAS_IBM_QUERY_PE_DMA_WINDOW, PE, 5);
  const create = (b: ReturnType<typeof bench>, page: number, size: number): number[] =>
    b.rtas(T.RTAS_IBM_CREATE_PE_DMA_WINDOW, [...PE, page, size], 4);

  it("answers a query in both shapes", () => {
    const b = bench();
    expect(query(b)).toEqual([0, 1, 2 ** 24, 0x107, 0]);
    expect(b.rtas(T.RTAS_IBM_QUERY_PE_DMA_WINDOW, PE, 6)).toEqual([0, 1, 0, 2 ** 24, 0x107, 0]);
    expect(b.rtas(T.RTAS_IBM_QUERY_PE_DMA_WINDOW, PE, 4)[0]).toBe(-3);
    expect(b.rtas(T.RTAS_IBM_QUERY_PE_DMA_WINDOW, [0x1000, ...BUID], 5)[0]).toBe(-3);
  });

  it("opens one window beside the default one", () => {
    const b = bench();
    expect(create(b, 24, 29)).toEqual([0, pciLiobn(1), 0x0800_0000, 0]);
    expect(query(b)[1]).toBe(0);
    expect(create(b, 24, 29)[0]).toBe(-1);
    const table = b.machine.tables.find(pciLiobn(1))!;
    expect([table.entries, table.pageShift]).toEqual([32, 24]);
  });

  it.each([
    ["a page size that is not offered", 20, 29, -3],
    ["a window smaller than its page", 24, 23, -3],
    ["a window beyond the address space", 24, 70, -3],
    ["a window with more entries than allowed", 12, 40, -1],
  ])("refuses %s", (_, page, size, status) => {
    expect(create(bench(), page, size)[0]).toBe(status);
  });

  it("brings the default window back when the last created one goes", () => {
    const b = bench();
    const remove = (liobn: number): number => b.rtas(T.RTAS_IBM_REMOVE_PE_DMA_WINDOW, [liobn], 1)[0]!;
    expect(remove(pciLiobn(0))).toBe(0);
    expect(query(b)[1]).toBe(2);
    expect(create(b, 16, 30)).toEqual([0, pciLiobn(0), 0, 0]);
    expect(remove(pciLiobn(0))).toBe(0);
    expect(b.machine.tables.find(pciLiobn(0))?.pageShift).toBe(12);
    expect(remove(pciLiobn(1))).toBe(-3);
    expect(remove(77)).toBe(-3);
  });

  it("resets to an empty default window", () => {
    const b = bench();
    create(b, 16, 30);
    const table = b.machine.tables.find(pciLiobn(0))!;
    b.machine.tables.store(table, 0, 0, 3);
    expect(b.rtas(T.RTAS_IBM_RESET_PE_DMA_WINDOW, PE, 1)).toEqual([0]);
    expect(b.machine.tables.find(pciLiobn(1))).toBeUndefined();
    expect(b.machine.tables.find(pciLiobn(0))!.low(0)).toBe(0);
  });

  it("has none of these calls when switched off", () => {
    const b = bench({ ddw: false });
    expect(query(b)[0]).toBe(-3);
  });
});
