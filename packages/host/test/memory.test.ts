import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GuestMemory } from "../src/index.ts";

const BASE = 64;
const SIZE = 256;

describe("host: GuestMemory", () => {
  const make = (): GuestMemory => new GuestMemory(new SharedArrayBuffer(BASE + SIZE + 32), BASE, SIZE);

  test("host GuestMemory: guest physical 0 sits at base and the ends are exact", () => {
    const memory = make();
    memory.setU8(0, 0x11);
    memory.setU8(SIZE - 1, 0x22);
    expect(new Uint8Array(memory.buffer)[BASE]).toBe(0x11);
    expect(memory.u8.length).toBe(SIZE);
    expect([
      memory.contains(0, SIZE),
      memory.contains(0, SIZE + 1),
      memory.contains(SIZE, 0),
      memory.contains(-1, 1),
    ]).toEqual([true, false, true, false]);
    expect([memory.contains(Number.NaN, 1), memory.contains(2 ** 60, 4)]).toEqual([false, false]);
  });

  test("host GuestMemory: block calls refuse what is outside and change nothing then", () => {
    const memory = make();
    expect(memory.writeBytes(SIZE - 2, Uint8Array.of(1, 2, 3))).toBe(false);
    expect(memory.fill(SIZE - 2, 3, 9)).toBe(false);
    expect(memory.readBytes(-1, new Uint8Array(1))).toBe(false);
    expect(memory.slice(SIZE, 1)).toBeNull();
    expect(memory.u8.every((b) => b === 0)).toBe(true);
    expect(memory.writeBytes(SIZE - 3, Uint8Array.of(1, 2, 3))).toBe(true);
    const back = new Uint8Array(3);
    expect(memory.readBytes(SIZE - 3, back)).toBe(true);
    expect([...back]).toEqual([1, 2, 3]);
    expect(memory.slice(SIZE - 3, 3)?.buffer).toBe(memory.buffer);
    expect(memory.fill(0, 2, 7) && memory.u8at(1)).toBe(7);
  });

  test("host GuestMemory: scalar accesses equal a DataView's at every address, aligned or not", () => {
    const value = fc.integer({ min: 0, max: 0xffff_ffff });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: SIZE - 8 }), value, value, (gpa, hi, lo) => {
        const memory = make();
        const view = new DataView(memory.buffer, BASE, SIZE);
        memory.setU64le(gpa, hi, lo);
        expect(view.getBigUint64(gpa, true)).toBe((BigInt(hi) << 32n) | BigInt(lo));
        expect(memory.u64le(gpa)).toBe(view.getBigUint64(gpa, true));
        expect(memory.u64be(gpa)).toBe(view.getBigUint64(gpa, false));
        expect([memory.u32le(gpa), memory.u32be(gpa)]).toEqual([view.getUint32(gpa, true), view.getUint32(gpa, false)]);
        expect([memory.u16le(gpa), memory.u16be(gpa)]).toEqual([view.getUint16(gpa, true), view.getUint16(gpa, false)]);
        memory.setU64be(gpa, hi, lo);
        expect(view.getBigUint64(gpa, false)).toBe((BigInt(hi) << 32n) | BigInt(lo));
        memory.setU32be(gpa, lo);
        expect(view.getUint32(gpa, false)).toBe(lo);
        memory.setU16be(gpa, hi & 0xffff);
        expect(view.getUint16(gpa, false)).toBe(hi & 0xffff);
        memory.setU16le(gpa, lo & 0xffff);
        expect(view.getUint16(gpa, true)).toBe(lo & 0xffff);
      }),
    );
  });

  test("host GuestMemory: an unchecked address is a named error, never a silent zero", () => {
    const memory = make();
    const range = expect.objectContaining({ code: "GUEST_MEMORY_RANGE" });
    expect(() => memory.u32le(SIZE - 3)).toThrow(range);
    expect(() => memory.u64le(SIZE - 4)).toThrow(range);
    expect(() => memory.setU64be(SIZE - 4, 1, 1)).toThrow(range);
    expect(memory.u32le(SIZE - 4)).toBe(0);
    expect(() => memory.u8at(-1)).toThrow(range);
  });

  test("host GuestMemory: a shape that does not fit its buffer is refused", () => {
    const shape = expect.objectContaining({ code: "GUEST_MEMORY_SHAPE" });
    expect(() => new GuestMemory(new ArrayBuffer(64), 0, 65)).toThrow(shape);
    expect(() => new GuestMemory(new ArrayBuffer(64), 4, 8)).toThrow(shape);
    expect(() => new GuestMemory(new ArrayBuffer(64), -8, 8)).toThrow(shape);
  });
});
