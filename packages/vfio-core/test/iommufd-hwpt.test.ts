// Hardware page tables that users make, pages that devices wrote, and what the hardware tells about itself.
import { EBUSY, EFAULT, EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import * as uapi from "../src/uapi-iommufd.ts";
import { EDU, NVME } from "./fixture.ts";
import { iommufdHost, rawNode } from "./iommufd-fixture.ts";
import { ram } from "./type1-fixture.ts";

const PAGE = 4096;
const { IOMMU_HWPT_ALLOC_DIRTY_TRACKING: DIRTY, IOMMU_HWPT_ALLOC_NEST_PARENT: NEST } = uapi;

function host(iommufd: NonNullable<Parameters<typeof iommufdHost>[0]>["iommufd"] = {}) {
  const base = iommufdHost({ iommufd });
  const node = rawNode(base.process, EDU);
  const device = node.bind(base.fd);
  const ioas = base.io.alloc();
  const { call } = base.io;
  const hwpt = (
    value: Partial<{ flags: number; dev_id: number; pt_id: number; data_type: number; data_len: number }>,
  ) => {
    const reply = call("IOMMU_HWPT_ALLOC", uapi.iommu_hwpt_alloc, { dev_id: device, pt_id: ioas, ...value });
    return reply.result < 0 ? reply.result : reply.out_hwpt_id;
  };
  const track = (hwpt_id: number, flags = 1) =>
    call("IOMMU_HWPT_SET_DIRTY_TRACKING", uapi.iommu_hwpt_set_dirty_tracking, { hwpt_id, flags }).result;
  return { ...base, node, device, ioas, hwpt, track, memory: ram(base.process, 64) };
}

describe("vfio-core iommufd: hardware page tables", () => {
  it("are made for a device and an IOAS, and stay until they are destroyed", () => {
    const { io, node, hwpt, ioas, device } = host();
    const table = hwpt({});
    expect(table).toBe(3);
    expect(io.ranges(ioas)).toMatchObject({ count: 1, alignment: PAGE });
    expect(io.destroy(ioas)).toBe(-EBUSY);
    expect(node.attach(table)).toBe(table);
    expect(io.destroy(table)).toBe(-EBUSY);
    node.detach();
    // Attaching to the IOAS never picks a table that a user made.
    expect(node.attach(ioas)).toBe(4);
    node.detach();
    expect(io.destroy(table)).toBe(0);
    expect(io.destroy(ioas)).toBe(0);
    expect(io.destroy(device)).toBe(-EBUSY);
  });

  it("refuse what is wrong in the kernel's order", () => {
    const { hwpt, device, ioas } = host();
    expect(hwpt({ data_len: 8 })).toBe(-EINVAL);
    expect(hwpt({ data_type: 1 })).toBe(-EINVAL);
    expect(hwpt({ dev_id: ioas })).toBe(-ENOENT);
    expect(hwpt({ dev_id: 99 })).toBe(-ENOENT);
    expect(hwpt({ pt_id: 99 })).toBe(-EINVAL);
    expect(hwpt({ pt_id: device })).toBe(-EINVAL);
    expect(hwpt({ flags: 8 })).toBe(-EOPNOTSUPP);
    expect(hwpt({ flags: uapi.IOMMU_HWPT_FAULT_ID_VALID })).toBe(-EOPNOTSUPP);
    expect(hwpt({ flags: DIRTY })).toBe(-EOPNOTSUPP);
    expect(hwpt({ flags: NEST })).toBe(-EOPNOTSUPP);
    expect(hwpt({ data_type: 1, data_len: 24 })).toBe(-EOPNOTSUPP);
    const parent = hwpt({});
    expect(hwpt({ pt_id: parent })).toBe(-EOPNOTSUPP);
    expect(hwpt({ pt_id: parent, data_type: 1, data_len: 24 })).toBe(-EINVAL);
  });

  it("that cannot be filled are not made", () => {
    const { io, hwpt, ioas } = host();
    io.map(ioas, { va: 0x666_0000, iova: 0 });
    expect(hwpt({})).toBe(-EFAULT);
    expect(io.ranges(ioas)).toMatchObject({ alignment: 1 });
    expect(io.unmapAll(ioas)).toBe(PAGE);
    expect(hwpt({})).toBe(3);
  });

  it("invalidation has nothing to work on, and says how much it did", () => {
    const { io, hwpt } = host();
    const hwpt_id = hwpt({});
    const invalidate = (value: object) => {
      const reply = io.call("IOMMU_HWPT_INVALIDATE", uapi.iommu_hwpt_invalidate, { hwpt_id, ...value });
      return [reply.result, reply.entry_num];
    };
    expect(invalidate({ __reserved: 1, entry_num: 4 })).toEqual([-EOPNOTSUPP, 0]);
    expect(invalidate({ entry_num: 4 })).toEqual([-EINVAL, 0]);
    expect(invalidate({ entry_num: 4, entry_len: 24, data_uptr: 0x10000n })).toEqual([-ENOENT, 0]);
    expect(invalidate({})).toEqual([-ENOENT, 0]);
  });
});

describe("vfio-core iommufd: dirty pages", () => {
  function tracked() {
    const made = host({ dirtyTracking: true });
    const table = made.hwpt({ flags: DIRTY });
    expect(table).toBeGreaterThan(0);
    made.node.attach(table);
    made.io.map(made.ioas, { va: made.memory.address, size: 64 * PAGE, iova: 0x10_0000 });
    const domain = made.topology.get(EDU).group?.domain;
    const write = (page: number) => domain?.write(0, 0x10_0000 + page * PAGE, new Uint8Array(4)) ?? false;
    const bits = new Uint8Array(new SharedArrayBuffer(16));
    const get = (
      value: Partial<{ iova: bigint; length: bigint; page_size: bigint; flags: number; data: bigint }> = {},
    ) => {
      bits.fill(0);
      const { result } = made.io.call("IOMMU_HWPT_GET_DIRTY_BITMAP", uapi.iommu_hwpt_get_dirty_bitmap, {
        hwpt_id: table,
        iova: 0x10_0000n,
        length: BigInt(64 * PAGE),
        page_size: BigInt(PAGE),
        data: made.process.addressOf(bits),
        ...value,
      });
      return result < 0
        ? result
        : [...bits].flatMap((byte, i) => [0, 1, 2, 3, 4, 5, 6, 7].filter((b) => byte & (1 << b)).map((b) => 8 * i + b));
    };
    return { ...made, table, write, get };
  }

  it("are those that were written since, and are clean afterwards", () => {
    const { get, track, table, write } = tracked();
    write(1);
    expect(get()).toEqual([]);
    expect(track(table)).toBe(0);
    for (const page of [0, 9, 63]) expect(write(page)).toBe(true);
    expect(get({ flags: uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR })).toEqual([0, 9, 63]);
    expect(get()).toEqual([0, 9, 63]);
    expect(get()).toEqual([]);
    write(5);
    expect(track(table, 0)).toBe(0);
    expect(get()).toEqual([]);
    // Starting anew begins clean.
    track(table);
    expect(get()).toEqual([]);
  });

  it("can be asked for in other units, from any page on, up to a hole", () => {
    const { get, track, table, write, io, ioas, memory } = tracked();
    track(table);
    for (const page of [2, 3, 17]) write(page);
    const keep = { flags: 1 };
    expect(get({ ...keep, page_size: BigInt(4 * PAGE) })).toEqual([0, 4]);
    expect(get({ ...keep, iova: 0x10_2000n, length: BigInt(2 * PAGE) })).toEqual([0, 1]);
    expect(get({ ...keep, iova: 0xf_f000n, length: BigInt(8 * PAGE) })).toEqual([]);
    expect(get({ ...keep, length: BigInt(128 * PAGE) })).toEqual([2, 3, 17]);
    expect(get({ ...keep, data: 8n })).toEqual([]);
    // Unmapping takes the marks along.
    io.unmapAll(ioas);
    io.map(ioas, { va: memory.address, size: 64 * PAGE, iova: 0x10_0000 });
    expect(get()).toEqual([]);
  });

  it("refuse what is wrong", () => {
    const { get, track, table, io, hwpt, node } = tracked();
    expect(track(table, 2)).toBe(-EOPNOTSUPP);
    expect(track(99)).toBe(-ENOENT);
    expect(track(hwpt({}))).toBe(-EOPNOTSUPP);
    expect(get({ flags: 2 })).toBe(-EOPNOTSUPP);
    expect(get({ length: 0n })).toBe(-EINVAL);
    expect(get({ length: 0xffff_ffff_ffff_ffffn })).toBe(-EOVERFLOW);
    expect(get({ iova: 0x10_0800n })).toBe(-EINVAL);
    expect(get({ page_size: 0n })).toBe(-EINVAL);
    expect(get({ page_size: BigInt(PAGE) * 1024n })).toBe(-EINVAL);
    const { call } = io;
    const plain = { hwpt_id: hwpt({}), length: BigInt(PAGE), page_size: BigInt(PAGE) };
    expect(call("IOMMU_HWPT_GET_DIRTY_BITMAP", uapi.iommu_hwpt_get_dirty_bitmap, plain).result).toBe(-EOPNOTSUPP);
    node.close();
  });

  it("are not to be had from a unit without the means", () => {
    const { process, fd, hwpt, io } = host({
      unitOf: ({ functions }) => ({ dirtyTracking: functions[0]?.name === EDU }),
    });
    const table = hwpt({ flags: DIRTY });
    const other = rawNode(process, NVME);
    const dev_id = other.bind(fd);
    expect(other.attach(table)).toBe(-EINVAL);
    expect(hwpt({ flags: DIRTY, dev_id })).toBe(-EOPNOTSUPP);
    expect(io.destroy(table)).toBe(0);
  });
});

describe("vfio-core iommufd: GET_HW_INFO", () => {
  it("shows the registers of a VT-d unit, cut or filled up to the caller's buffer", () => {
    const { io, process, device } = host({ addressWidth: 39, dirtyTracking: true, snoopControl: false });
    const bytes = new Uint8Array(new SharedArrayBuffer(32)).fill(0xaa);
    const ask = (value: object) =>
      io.call("IOMMU_GET_HW_INFO", uapi.iommu_hw_info, {
        dev_id: device,
        data_len: 32,
        data_uptr: process.addressOf(bytes),
        ...value,
      });
    expect(ask({})).toMatchObject({ result: 0, data_len: 24, out_data_type: 1, out_capabilities: 1n });
    const { cap_reg, ecap_reg } = uapi.iommu_hw_info_vtd.decode(bytes);
    expect((cap_reg >> 16n) & 0x3fn).toBe(38n);
    expect((cap_reg >> 8n) & 0x1fn).toBe(2n);
    expect((ecap_reg >> 7n) & 1n).toBe(0n);
    expect((ecap_reg >> 45n) & 1n).toBe(1n);
    expect([...bytes.subarray(24)]).toEqual(new Array(8).fill(0));
    bytes.fill(0xaa);
    expect(ask({ data_len: 4 })).toMatchObject({ result: 0, data_len: 24 });
    expect(bytes[4]).toBe(0xaa);
    expect(ask({ data_len: 0, data_uptr: 0n }).result).toBe(0);
    expect(ask({ data_uptr: 8n }).result).toBe(-EFAULT);
    expect(ask({ flags: 1 }).result).toBe(-EOPNOTSUPP);
    expect(ask({ dev_id: 99 }).result).toBe(-ENOENT);
  });
});
