import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  array,
  bytes,
  EBADF,
  EINVAL,
  ENOTTY,
  errnoName,
  ioctlNumbers,
  MinivmmError,
  pad,
  type StructValue,
  s16,
  s32,
  s64,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "../src/index.ts";

describe("host: errno and errors", () => {
  test("host errno: numbers are Linux's and have names either way round", () => {
    expect([EBADF, EINVAL, ENOTTY]).toEqual([9, 22, 25]);
    expect(errnoName(22)).toBe("EINVAL");
    expect(errnoName(-25)).toBe("ENOTTY");
    expect(errnoName(4242)).toBe("errno 4242");
  });

  test("host error: a derived class carries its own name and only what was given", () => {
    class DiskError extends MinivmmError {}
    const plain = new DiskError("no disk", { code: "DISK_MISSING" });
    expect(plain).toMatchObject({ name: "DiskError", code: "DISK_MISSING", details: {}, message: "no disk" });
    expect("errno" in plain || "hint" in plain || "cause" in plain).toBe(false);
    const full = new MinivmmError("x", { code: "X", errno: 5, hint: "do y", details: { a: 1 }, cause: plain });
    expect(full).toMatchObject({ errno: 5, hint: "do y", details: { a: 1 }, cause: plain });
  });
});

describe("host: ioctl numbers", () => {
  // Values printed by a C program that includes linux/kvm.h and linux/vfio.h.
  test("host ioctl: x86_64 numbers equal the C macros", () => {
    const { IO, IOR, IOW } = ioctlNumbers("x86_64");
    expect(IO(0xae, 0x00)).toBe(0xae00);
    expect(IO(0x3b, 113)).toBe(0x3b71);
    expect(IOW(0xae, 0x46, 32)).toBe(0x4020ae46);
    expect(IOR(0xae, 0x83, 312)).toBe(0x8138ae83);
    expect(IOW(0xae, 0x84, 312)).toBe(0x4138ae84);
  });

  test("host ioctl: powerpc has its own direction bits", () => {
    const { IO, IOR, IOW, IOWR } = ioctlNumbers("ppc64le");
    expect(IO(0x3b, 113)).toBe(0x20003b71);
    expect(IOR(0xae, 0x83, 312)).toBe(0x4138ae83);
    expect(IOW(0xae, 0x46, 32)).toBe(0x8020ae46);
    expect(IOWR(0xae, 0xcd, 16)).toBe(0xc010aecd);
  });
});

describe("host: struct codec", () => {
  const vfio_region_info = struct("vfio_region_info", {
    argsz: u32,
    flags: u32,
    index: u32,
    cap_offset: u32,
    size: u64,
    offset: u64,
  });
  const ddw = struct("vfio_iommu_spapr_tce_ddw_info", {
    pgsizes: u64,
    max_dynamic_windows_supported: u32,
    levels: u32,
  });
  const kvm_segment = struct("kvm_segment", {
    base: u64,
    limit: u32,
    selector: u16,
    attributes: array(u8, 9),
    padding: pad(1),
  });

  // Sizes and offsets printed by a C program that includes linux/vfio.h and linux/kvm.h (gcc, x86_64).
  test("host struct: layouts equal gcc's", () => {
    expect(vfio_region_info.size).toBe(32);
    expect(vfio_region_info.offsets).toEqual({ argsz: 0, flags: 4, index: 8, cap_offset: 12, size: 16, offset: 24 });
    const info = struct("vfio_iommu_spapr_tce_info", { argsz: u32, flags: u32, start: u32, size: u32, ddw });
    expect([info.size, info.offsets.ddw, ddw.size, ddw.offsets.max_dynamic_windows_supported]).toEqual([32, 16, 16, 8]);
    const create = struct("vfio_iommu_spapr_tce_create", {
      argsz: u32,
      flags: u32,
      page_shift: u32,
      resv1: pad(4, 4),
      window_size: u64,
      levels: u32,
      resv2: pad(4, 4),
      start_addr: u64,
    });
    expect([create.size, create.offsets.window_size, create.offsets.start_addr]).toEqual([40, 16, 32]);
    const dtable = struct("kvm_dtable", { base: u64, limit: u16, padding: array(u16, 3) });
    const sregs = struct("kvm_sregs", {
      segments: array(kvm_segment, 8),
      tables: array(dtable, 2),
      cr: array(u64, 5),
      efer: u64,
      apic_base: u64,
      interrupt_bitmap: array(u64, 4),
    });
    expect([kvm_segment.size, dtable.size, sregs.size]).toEqual([24, 16, 312]);
    expect([sregs.offsets.tables, sregs.offsets.cr, sregs.offsets.interrupt_bitmap]).toEqual([192, 224, 280]);
  });

  test("host struct: trailing and inner gaps follow the strictest field", () => {
    const odd = struct("odd", { a: u8, b: u16, c: u8, d: u64, e: u8 });
    expect(odd.offsets).toEqual({ a: 0, b: 2, c: 4, d: 8, e: 16 });
    expect([odd.size, odd.align]).toEqual([24, 8]);
  });

  test("host struct: absent fields and padding become zero, bytes behind the struct stay", () => {
    const into = new Uint8Array(40).fill(0xee);
    vfio_region_info.encode({ argsz: 32, size: 0x1_0000_0000n }, into);
    expect(vfio_region_info.decode(into)).toEqual({
      argsz: 32,
      flags: 0,
      index: 0,
      cap_offset: 0,
      size: 0x1_0000_0000n,
      offset: 0n,
    });
    expect([...into.subarray(32)]).toEqual(Array(8).fill(0xee));
    expect([...into.subarray(16, 24)]).toEqual([0, 0, 0, 0, 1, 0, 0, 0]);
    expect("padding" in kvm_segment.decode(new Uint8Array(24))).toBe(false);
  });

  test("host struct: buffers and arrays that do not fit are named errors", () => {
    expect(() => vfio_region_info.decode(new Uint8Array(31))).toThrow(
      expect.objectContaining({ code: "STRUCT_SHORT" }),
    );
    expect(() => vfio_region_info.decode(new Uint8Array(40), 9)).toThrow(
      expect.objectContaining({ code: "STRUCT_SHORT" }),
    );
    expect(() => vfio_region_info.encode({}, new Uint8Array(8))).toThrow(
      expect.objectContaining({ code: "STRUCT_SHORT" }),
    );
    expect(() => kvm_segment.encode({ attributes: Array(10).fill(0) })).toThrow(
      expect.objectContaining({ code: "STRUCT_ARRAY" }),
    );
    expect(() => struct("b", { raw: bytes(2) }).encode({ raw: new Uint8Array(3) })).toThrow(
      expect.objectContaining({ code: "STRUCT_ARRAY" }),
    );
  });

  test("host struct: zero() is what decoding zeroed bytes gives", () => {
    expect(kvm_segment.zero()).toEqual(kvm_segment.decode(new Uint8Array(24)));
    expect(struct("nest", { raw: bytes(3), inner: ddw }).zero()).toEqual({ raw: new Uint8Array(3), inner: ddw.zero() });
  });

  const everything = struct("everything", {
    a: u8,
    b: u16,
    gap: pad(3),
    c: u32,
    d: u64,
    e: s16,
    f: s32,
    g: s64,
    list: array(u16, 3),
    raw: bytes(5),
    inner: ddw,
  });
  const value: fc.Arbitrary<StructValue<typeof everything>> = fc.record({
    a: fc.integer({ min: 0, max: 0xff }),
    b: fc.integer({ min: 0, max: 0xffff }),
    c: fc.integer({ min: 0, max: 0xffff_ffff }),
    d: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    e: fc.integer({ min: -0x8000, max: 0x7fff }),
    f: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
    g: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    list: fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 3, maxLength: 3 }),
    raw: fc.uint8Array({ minLength: 5, maxLength: 5 }),
    inner: fc.record({
      pgsizes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      max_dynamic_windows_supported: fc.integer({ min: 0, max: 0xffff_ffff }),
      levels: fc.integer({ min: 0, max: 0xffff_ffff }),
    }),
  });

  test("host struct: decode returns what encode was given, at any offset and in dirty buffers", () => {
    fc.assert(
      fc.property(value, fc.integer({ min: 0, max: 17 }), (v, at) => {
        const whole = new Uint8Array(at + everything.size + 4).fill(0xa5);
        everything.encode(v, whole.subarray(at));
        expect(everything.decode(whole, at)).toEqual(v);
        expect(whole.subarray(0, at).every((b) => b === 0xa5)).toBe(true);
        expect([...whole.subarray(at + everything.size)]).toEqual([0xa5, 0xa5, 0xa5, 0xa5]);
        expect([...everything.encode(v)]).toEqual([...whole.subarray(at, at + everything.size)]);
      }),
    );
  });
});
