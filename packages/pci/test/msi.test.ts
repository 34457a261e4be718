import { describe, expect, test } from "vitest";
import { type BarWidth, Msi, Msix, PciDevice } from "../src/index.ts";
import { IrqLog } from "./support/memory.ts";

class Card extends PciDevice {
  constructor() {
    super({ vendor: 1, device: 2, classCode: 0, interruptPin: 1 });
    this.addBar({ index: 0, type: "mem32", size: 8192, prefetchable: false });
    this.config.write(4, 2, 6);
  }
  readBar(_bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    this.msix?.read(offset, width, out);
  }
  writeBar(_bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    this.msix?.write(offset, width, lo, hi);
  }
  level(on: boolean): void {
    this.setIntx(on);
  }
  raise(vector: number): boolean {
    return this.signal(vector);
  }
  protected onReset(): void {}
}

function plug(): { card: Card; irq: IrqLog } {
  const card = new Card();
  const irq = new IrqLog();
  card.irq = irq;
  return { card, irq };
}
const dataOf = (irq: IrqLog): number[] => irq.messages.map((each) => each.data);

describe("pci msi", () => {
  test("vectors replace the low bits of the data, beyond the allowed ones they fall to 0", () => {
    const { card, irq } = plug();
    const msi = new Msi(card, { vectors: 8 });
    card.config.write(msi.offset + 2, 2, 2 << 4);
    msi.program(0, 0xfee00000, 0x47);
    for (const n of [0, 3, 4]) card.raise(n);
    expect([msi.allowed, dataOf(irq)]).toEqual([4, [0x44, 0x47, 0x44]]);
  });

  test("software cannot allow more than the function has", () => {
    const { card } = plug();
    const msi = new Msi(card, { vectors: 2 });
    card.config.write(msi.offset + 2, 2, 5 << 4);
    expect(msi.allowed).toBe(2);
  });

  test("a masked vector is pending and sent once when unmasked", () => {
    const { card, irq } = plug();
    const msi = new Msi(card, { vectors: 2, maskable: true });
    card.config.write(msi.offset + 2, 2, 1 << 4);
    msi.program(0, 0xfee00000, 0x10);
    card.config.write(msi.offset + 16, 4, 2);
    card.raise(1);
    card.raise(1);
    card.raise(0);
    expect([dataOf(irq), card.config.read(msi.offset + 20, 4)]).toEqual([[0x10], 2]);
    card.config.write(msi.offset + 16, 4, 0);
    expect([dataOf(irq), card.config.read(msi.offset + 20, 4)]).toEqual([[0x10, 0x11], 0]);
  });

  test("the 32-bit layout has its data four bytes earlier", () => {
    const { card, irq } = plug();
    const msi = new Msi(card, { address64: false });
    msi.program(5, 0xfee01000, 0x77);
    expect(card.config.read(msi.offset + 8, 2)).toBe(0x77);
    card.raise(0);
    expect(irq.messages).toEqual([{ vector: 0, addressHi: 0, addressLo: 0xfee01000, data: 0x77 }]);
  });
});

describe("pci msi-x", () => {
  const table = { vectors: 70, bar: 0, table: 0, pba: 0x1000 };

  test("entries start masked and keep only defined bits", () => {
    const { card } = plug();
    const msix = new Msix(card, table);
    const out = new Uint32Array(2);
    expect(msix.masked(69)).toBe(true);
    for (let at = 0; at < 16; at += 4) card.writeBar(0, at, 4, 0xffffffff, 0);
    card.readBar(0, 0, 8, out);
    expect([...out]).toEqual([0xfffffffc, 0xffffffff]);
    card.readBar(0, 8, 8, out);
    expect([...out]).toEqual([0xffffffff, 1]);
    card.readBar(0, 13, 1, out);
    expect(out[0]).toBe(0);
  });

  test("the function mask holds every vector back; pending bits are read-only and follow", () => {
    const { card, irq } = plug();
    const msix = new Msix(card, table);
    for (const n of [0, 33, 69]) msix.program(n, 1, 0xfee00000, n);
    msix.setControl(true, true);
    for (const n of [69, 0, 33, 70]) card.raise(n);
    const out = new Uint32Array(2);
    card.readBar(0, 0x1000, 8, out);
    expect([...out]).toEqual([1, 2]);
    card.writeBar(0, 0x1000, 8, 0, 0);
    expect([msix.pending(0), msix.pending(69), irq.messages.length]).toEqual([true, true, 0]);
    msix.setControl(true, false);
    expect([dataOf(irq), msix.pending(33)]).toEqual([[0, 33, 69], false]);
  });

  test("disabled MSI-X sends nothing and leaves the pin to the function", () => {
    const { card, irq } = plug();
    const msix = new Msix(card, table);
    msix.program(0, 0, 0xfee00000, 1);
    expect(card.raise(0)).toBe(false);
    card.level(true);
    expect(irq.level).toBe(true);
    msix.setControl(true);
    expect(irq.level).toBe(false);
    msix.setControl(false);
    expect([irq.level, irq.messages.length]).toEqual([true, 0]);
    card.reset("flr");
    expect([irq.level, msix.masked(0)]).toEqual([false, true]);
  });

  test("unaligned and narrow writes are ignored", () => {
    const { card } = plug();
    const msix = new Msix(card, table);
    for (const [offset, width] of [
      [0, 1],
      [2, 2],
      [2, 4],
      [0x800, 4],
    ] as const)
      card.writeBar(0, offset, width, 0xffffffff, 0);
    expect(msix.table.filter((_, i) => i % 4 !== 3).every((word) => word === 0)).toBe(true);
  });
});
