// Address spaces: what may be mapped where, chosen places, copies, unmapping whole areas, reserved and allowed ranges.
import { EADDRINUSE, EEXIST, EFAULT, EINVAL, EMSGSIZE, ENOENT, ENOSPC, EOVERFLOW, EPERM } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import * as uapi from "../src/uapi-iommufd.ts";
import { EDU, NVME } from "./fixture.ts";
import { iommufdHost, READ, RW, rawNode, WRITE } from "./iommufd-fixture.ts";
import { ram } from "./type1-fixture.ts";

const MAX = 0xffff_ffff_ffff_ffffn;

/** An address space, and one with the edu attached to it. */
function spaces(options: Parameters<typeof iommufdHost>[0] = {}) {
  const host = iommufdHost(options);
  const plain = host.io.alloc();
  const hardware = host.io.alloc();
  const node = rawNode(host.process, EDU);
  node.bind(host.fd);
  expect(node.attach(hardware)).toBeGreaterThan(0);
  return { ...host, plain, hardware, node, memory: ram(host.process, 64) };
}

describe("vfio-core iommufd: mapping without hardware", () => {
  it("is a promise: any address, byte by byte", () => {
    const { io, plain } = spaces();
    expect(io.map(plain, { va: 0xdead_0000_0001n, size: 3, iova: 5 })).toBe(5);
    expect(io.map(plain, { va: 1, size: 1, iova: 8 })).toBe(8);
    expect(io.map(plain, { va: 1, size: 1, iova: 7 })).toBe(-EEXIST);
    expect(io.unmap(plain, 5, 4)).toBe(4);
  });

  it("checks in the kernel's order", () => {
    const { io, plain } = spaces();
    expect(io.map(99, { flags: 0 })).toBe(-EINVAL);
    expect(io.map(99, { size: MAX })).toBe(-EOVERFLOW);
    expect(io.map(99, { iova: MAX })).toBe(-EOVERFLOW);
    expect(io.map(99, {})).toBe(-ENOENT);
    expect(io.map(plain, { size: 0 })).toBe(-EINVAL);
    expect(io.map(plain, { va: MAX, size: 2 })).toBe(-EOVERFLOW);
    expect(io.map(plain, { size: MAX - 4095n, va: 0 })).toBe(-EINVAL);
    // Memory of that size may be meant, but no place for it is chosen.
    expect(io.map(plain, { size: MAX - 4096n, va: 0 })).toBe(-EOVERFLOW);
    expect(io.map(plain, { iova: MAX - 1n, size: 3 })).toBe(-EOVERFLOW);
    expect(io.map(plain, { iova: MAX - 1n, size: 2 })).toBe(Number(MAX - 1n));
  });

  it("a chosen place keeps the memory's place in its page and is never 0", () => {
    const { io, plain } = spaces();
    expect(io.map(plain, { va: 0x7000_0000, size: 4096 })).toBe(0x1000);
    expect(io.map(plain, { va: 0x7000_0008, size: 16 })).toBe(0x2008);
    // As large as its size, as far as the memory is aligned, at most 2 MiB.
    expect(io.map(plain, { va: 0x7000_0000, size: 0x10_0000 })).toBe(0x10_0000);
    expect(io.map(plain, { va: 0x7000_4000, size: 0x10_0000 })).toBe(0x20_0000 + 0);
    expect(io.map(plain, { va: 0x8000_0000, size: 0x80_0000 })).toBe(0x40_0000);
  });

  it("allowed ranges guide the choice only, and must be proper ones", () => {
    const { io, plain } = spaces();
    expect(io.allow(plain, [[0x5000, 0x5fff]])).toBe(0);
    expect(io.map(plain, { size: 4096 })).toBe(0x5000);
    expect(io.map(plain, { size: 4096 })).toBe(-ENOSPC);
    expect(io.map(plain, { size: 4096, iova: 0x9000 })).toBe(0x9000);
    expect(io.allow(plain, [[5, 5]])).toBe(-EINVAL);
    expect(
      io.allow(plain, [
        [0, 0xfff],
        [0xfff, 0x1fff],
      ]),
    ).toBe(-EINVAL);
    expect(io.allow(plain, [])).toBe(0);
    expect(io.map(plain, { size: 4096 })).toBe(0x1000);
    const value = { ioas_id: plain, num_iovas: 2, allowed_iovas: 8n };
    expect(io.call("IOMMU_IOAS_ALLOW_IOVAS", uapi.iommu_ioas_allow_iovas, value).result).toBe(-EFAULT);
  });

  it("adjacent allowed ranges count as one", () => {
    const { io, plain } = spaces();
    expect(
      io.allow(plain, [
        [0x2_0000, 0x2_0fff],
        [0x2_1000, 0x2_1fff],
      ]),
    ).toBe(0);
    expect(io.map(plain, { va: 0x7000_0000, size: 0x2000 })).toBe(0x2_0000);
  });
});

describe("vfio-core iommufd: unmapping", () => {
  it("takes whole areas, and what came before one that is cut", () => {
    const { io, plain } = spaces();
    for (const iova of [0x1000, 0x2000, 0x4000]) io.map(plain, { iova });
    expect(io.unmap(plain, 0x1000, 0)).toBe(-EINVAL);
    expect(io.unmap(plain, MAX - 1n, 3)).toBe(-EOVERFLOW);
    expect(io.unmap(plain, MAX, 1)).toBe(-EOVERFLOW);
    expect(io.unmap(plain, 0x1800, 0x1000)).toBe(-ENOENT);
    // The first area is gone although the call failed at the second.
    expect(io.unmap(plain, 0x1000, 0x1800)).toBe(-ENOENT);
    expect(io.map(plain, { iova: 0x1000 })).toBe(0x1000);
    expect(io.unmap(plain, 0, 0x10000)).toBe(0x3000);
    expect(io.unmap(plain, 0, 0x10000)).toBe(-ENOENT);
  });

  it("everything at once succeeds also when there is nothing", () => {
    const { io, plain } = spaces();
    io.map(plain, { iova: MAX - 1n, size: 2 });
    io.map(plain, { iova: 0 });
    expect(io.unmapAll(plain)).toBe(4098);
    expect(io.unmapAll(plain)).toBe(0);
  });
});

describe("vfio-core iommufd: copies", () => {
  it("take any part of what is mapped without a hole", () => {
    const { io, plain } = spaces();
    const other = io.alloc();
    io.map(plain, { va: 0x7000_0000, size: 0x3000, iova: 0x1000 });
    io.map(plain, { va: 0x7100_0000, size: 0x1000, iova: 0x4000 });
    expect(io.copy({ from: plain, to: other, src: 0x2000, size: 0x3000, dst: 0x10000 })).toBe(0x10000);
    expect(io.unmap(other, 0x10000, 0x3000)).toBe(0x3000);
    expect(io.copy({ from: plain, to: other, src: 0x2000, size: 0x4000 })).toBe(-ENOENT);
    expect(io.copy({ from: plain, to: other, src: 0, size: 0x2000 })).toBe(-ENOENT);
    expect(io.copy({ from: plain, to: other, src: 0x2000, size: 0 })).toBe(-EINVAL);
    expect(io.copy({ from: plain, to: other, src: MAX - 1n, size: 3 })).toBe(-EOVERFLOW);
    expect(io.copy({ from: plain, to: 77, src: 0x2000, size: 0x1000 })).toBe(-ENOENT);
    expect(io.copy({ from: 77, to: other, src: 0x2000, size: 0x1000 })).toBe(-ENOENT);
    // Into the same space, where there is room.
    expect(io.copy({ from: plain, to: plain, src: 0x1000, size: 0x1000 })).toBe(0x5000);
    expect(io.copy({ from: plain, to: plain, src: 0x1000, size: 0x1000, dst: 0x1000 })).toBe(-EEXIST);
  });

  it("cannot write what was mapped for reading", () => {
    const { io, plain } = spaces();
    io.map(plain, { iova: 0x1000, flags: READ });
    const copy = { from: plain, to: plain, src: 0x1000, size: 0x1000 };
    expect(io.copy({ ...copy, flags: WRITE })).toBe(-EPERM);
    expect(io.copy({ ...copy, flags: 0 })).toBe(-EINVAL);
    expect(io.copy({ ...copy, flags: READ })).toBe(0x2000);
    expect(io.unmapAll(plain)).toBe(0x2000);
  });
});

describe("vfio-core iommufd: hardware", () => {
  it("asks for pages and takes its reserved ranges away", () => {
    const { io, plain, hardware, memory } = spaces();
    expect(io.ranges(plain)).toEqual({ result: 0, count: 1, alignment: 1, ranges: [`0-${MAX.toString(16)}`] });
    expect(io.ranges(hardware)).toEqual({
      result: 0,
      count: 2,
      alignment: 4096,
      ranges: ["0-fedfffff", "fef00000-ffffffffffff"],
    });
    expect(io.ranges(hardware, 1)).toMatchObject({ result: -EMSGSIZE, count: 2, ranges: ["0-fedfffff"] });
    expect(io.ranges(hardware, 0)).toMatchObject({ result: -EMSGSIZE, count: 2, ranges: [] });
    const va = memory.address;
    expect(io.map(hardware, { va, iova: 0x800 })).toBe(-EINVAL);
    expect(io.map(hardware, { va, size: 0x800, iova: 0 })).toBe(-EINVAL);
    expect(io.map(hardware, { va: va + 8, iova: 0 })).toBe(-EINVAL);
    expect(io.map(hardware, { va: va + 8 })).toBe(-EINVAL);
    expect(io.map(hardware, { va, iova: 0xfee0_0000 })).toBe(-EINVAL);
    expect(io.map(hardware, { va, iova: 0x1_0000_0000_0000 })).toBe(-EINVAL);
    expect(io.map(hardware, { va, iova: 0xffff_ffff_f000 })).toBe(0xffff_ffff_f000);
    expect(io.allow(hardware, [[0xfed0_0000, 0xfeff_ffff]])).toBe(-EADDRINUSE);
    expect(io.allow(hardware, [[0x10_0000, 0x1f_ffff]])).toBe(0);
    expect(io.map(hardware, { va })).toBe(0x10_0000);
  });

  it("does not come to a space whose mappings it cannot take", () => {
    const { io, plain, process, fd, memory } = spaces();
    const node = rawNode(process, NVME);
    node.bind(fd);
    const attempt = (va: number, iova: number, size: number) => {
      io.unmapAll(plain);
      io.map(plain, { va, iova, size });
      return node.attach(plain);
    };
    expect(attempt(memory.address, 5, 4096)).toBe(-EADDRINUSE);
    expect(attempt(memory.address + 8, 0, 4096)).toBe(-EADDRINUSE);
    expect(attempt(memory.address, 0, 100)).toBe(-EADDRINUSE);
    expect(attempt(memory.address, 0xfee0_0000, 4096)).toBe(-EADDRINUSE);
    expect(attempt(memory.address, 2 ** 48, 4096)).toBe(-EADDRINUSE);
    expect(attempt(0x666_0000, 0, 4096)).toBe(-EFAULT);
    expect(io.unmapAll(plain)).toBe(4096);
    expect(io.allow(plain, [[0xfee0_0000, 0xfee0_0fff]])).toBe(0);
    expect(node.attach(plain)).toBe(-EADDRINUSE);
    io.allow(plain, []);
    expect(attempt(memory.address, 0, 4096)).toBeGreaterThan(0);
    // And gives the bytes back when it goes.
    node.detach();
    expect(io.ranges(plain)).toMatchObject({ alignment: 1, count: 1 });
  });

  it("a unit that addresses less takes no table with mappings out of its reach", () => {
    const { io, hardware, process, fd, memory } = spaces({
      iommufd: { unitOf: ({ functions }) => (functions[0]?.name === NVME ? { addressWidth: 39 } : {}) },
    });
    const node = rawNode(process, NVME);
    expect(node.bind(fd)).toBeGreaterThan(0);
    const far = io.map(hardware, { va: memory.address, iova: 2 ** 40, flags: RW });
    expect(far).toBe(2 ** 40);
    // Neither the table of the other unit nor one of its own can show that mapping to it.
    expect(node.attach(hardware)).toBe(-EADDRINUSE);
    io.unmapAll(hardware);
    // The wide table will do as long as nothing is mapped out of reach.
    expect(node.attach(hardware)).toBeGreaterThan(0);
    expect(io.ranges(hardware).ranges).toEqual(["0-fedfffff", "fef00000-ffffffffffff"]);
    node.detach();
    const own = io.alloc();
    expect(node.attach(own)).toBeGreaterThan(0);
    expect(io.ranges(own).ranges).toEqual(["0-fedfffff", "fef00000-7fffffffff"]);
    node.detach();
    expect(io.ranges(own).count).toBe(1);
  });
});
