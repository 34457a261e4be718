// Pinning and who pays: shared by copies, counted per user or per address space, EFAULT before ENOMEM; and where DMA goes.
import { EFAULT, ENOMEM, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { EDU, NVME } from "./fixture.ts";
import { iommufdHost, type RawIommufd, READ, rawIommufd, rawNode, WRITE } from "./iommufd-fixture.ts";
import { ram } from "./type1-fixture.ts";

const PAGE = 4096;

function attached(options: Parameters<typeof iommufdHost>[0] = {}) {
  const host = iommufdHost(options);
  const node = rawNode(host.process, EDU);
  node.bind(host.fd);
  const ioas = host.io.alloc();
  const other = host.io.alloc();
  const second = rawNode(host.process, NVME);
  second.bind(host.fd);
  node.attach(ioas);
  const accounts = host.core.iommufd?.accounts;
  if (!accounts) throw new Error("no iommufd");
  const state = () => ({
    pinned: host.process.mm.pinnedPages,
    user: accounts.lockedBy(host.process),
    mm: host.process.mm.lockedPages,
  });
  return { ...host, node, second, ioas, other, memory: ram(host.process, 64), state };
}

const map = (io: RawIommufd, ioas: number, va: number, pages: number, iova: number) =>
  io.map(ioas, { va, size: pages * PAGE, iova });

describe("vfio-core iommufd: pinning", () => {
  it("happens when hardware is there, and ends with it", () => {
    const { io, node, ioas, memory, state } = attached();
    expect(map(io, ioas, memory.address, 16, 0)).toBe(0);
    expect(state()).toEqual({ pinned: 16, user: 16, mm: 0 });
    node.detach();
    expect(state()).toEqual({ pinned: 0, user: 0, mm: 0 });
    node.attach(ioas);
    expect(state()).toEqual({ pinned: 16, user: 16, mm: 0 });
    io.unmapAll(ioas);
    expect(state()).toEqual({ pinned: 0, user: 0, mm: 0 });
  });

  it("of a page that copies share happens once, and ends with the last", () => {
    const { io, second, ioas, other, memory, state } = attached();
    map(io, ioas, memory.address, 16, 0);
    second.attach(other);
    expect(io.copy({ from: ioas, to: other, src: 4 * PAGE, size: 4 * PAGE, dst: 0x10_0000 })).toBe(0x10_0000);
    expect(io.copy({ from: ioas, to: ioas, src: 0, size: 8 * PAGE, dst: 0x20_0000 })).toBe(0x20_0000);
    expect(state().user).toBe(16);
    // The first mapping goes; pages 0 to 7 are still shown by the copies.
    expect(io.unmap(ioas, 0, 16 * PAGE)).toBe(16 * PAGE);
    expect(state().user).toBe(8);
    expect(io.unmap(ioas, 0x20_0000, 8 * PAGE)).toBe(8 * PAGE);
    expect(state().user).toBe(4);
    second.detach();
    expect(state()).toEqual({ pinned: 0, user: 0, mm: 0 });
  });

  it("of the same memory mapped twice is charged twice", () => {
    const { io, ioas, memory, state } = attached();
    map(io, ioas, memory.address, 16, 0);
    map(io, ioas, memory.address, 16, 0x10_0000);
    expect(state()).toEqual({ pinned: 32, user: 32, mm: 0 });
  });

  it("two page tables of a space, or two devices, share the pins", () => {
    const { io, second, ioas, memory, state, node } = attached();
    map(io, ioas, memory.address, 16, 0);
    second.attach(ioas);
    expect(state().user).toBe(16);
    node.detach();
    expect(state().user).toBe(16);
    second.detach();
    expect(state().user).toBe(0);
  });

  it("fails as a whole, memory before money", () => {
    const { io, ioas, memory, state, process } = attached({ memlock: 16 * PAGE });
    const last = memory.address + 63 * PAGE;
    process.mm.munmap(last, PAGE);
    expect(map(io, ioas, memory.address, 64, 0)).toBe(-EFAULT);
    expect(map(io, ioas, memory.address, 17, 0)).toBe(-ENOMEM);
    expect(state()).toEqual({ pinned: 0, user: 0, mm: 0 });
    expect(map(io, ioas, memory.address, 16, 0)).toBe(0);
    expect(map(io, ioas, memory.address, 1, 0x10_0000)).toBe(-ENOMEM);
    expect(io.unmapAll(ioas)).toBe(16 * PAGE);
  });

  it("asks for the right to write only where the device may", () => {
    const { io, ioas, process } = attached();
    const readable = process.mmap({ length: PAGE, prot: PROT_READ, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    if (typeof readable === "number") throw new Error("no memory");
    const { address: va } = readable;
    expect(io.map(ioas, { va, flags: WRITE, iova: 0 })).toBe(-EFAULT);
    expect(io.map(ioas, { va, flags: READ, iova: 0 })).toBe(0);
    readable.close();
    // What is pinned stays pinned; what hardware has to look up again is gone.
    expect(io.copy({ from: ioas, to: ioas, src: 0, size: PAGE, flags: READ })).toBeGreaterThan(0);
  });

  it("does not pin a device's memory", () => {
    const { io, ioas, node, process } = attached();
    const bar = process.mmap({ length: PAGE, prot: 3, flags: 1, fd: node.fd, offset: 0 });
    if (typeof bar === "number") throw new Error("no mapping");
    expect(io.map(ioas, { va: bar.address, iova: 0 })).toBe(-EFAULT);
  });

  it("CAP_IPC_LOCK at the time of mapping frees from all charges", () => {
    const { io, ioas, memory, state, process } = attached({ capabilities: ["IPC_LOCK"], memlock: 0 });
    expect(map(io, ioas, memory.address, 16, 0)).toBe(0);
    expect(state()).toEqual({ pinned: 16, user: 0, mm: 0 });
    process.drop("IPC_LOCK");
    expect(map(io, ioas, memory.address, 1, 0x10_0000)).toBe(-ENOMEM);
  });
});

describe("vfio-core iommufd: DMA", () => {
  const dma = ({ topology }: ReturnType<typeof attached>, bdf: string) => {
    const fn = topology.get(bdf);
    const read = (iova: number) => {
      const into = new Uint8Array(4);
      return fn.group?.domain?.read(0, iova, into) ? [...into] : null;
    };
    const write = (iova: number, value: number) =>
      fn.group?.domain?.write(0, iova, new Uint8Array(4).fill(value)) ?? false;
    return { read, write };
  };

  it("goes where the page table says, and nowhere else", () => {
    const host = attached();
    const { io, ioas, memory, node } = host;
    const device = dma(host, EDU);
    map(io, ioas, memory.address + PAGE, 1, 0x5000);
    expect(device.read(0x5000)).toEqual([0x11, 0x11, 0x11, 0x11]);
    expect(device.write(0x5ffc, 7)).toBe(true);
    expect([...memory.bytes.subarray(2 * PAGE - 4, 2 * PAGE)]).toEqual([7, 7, 7, 7]);
    expect(device.read(0x4ffe)).toBeNull();
    expect(device.write(0x5ffe, 1)).toBe(false);
    io.map(ioas, { va: memory.address, iova: 0x9000, flags: READ });
    expect(device.write(0x9000, 1)).toBe(false);
    expect(dma(host, NVME).read(0x5000)).toBeNull();
    io.unmap(ioas, 0x5000, PAGE);
    expect(device.read(0x5000)).toBeNull();
    node.detach();
    expect(device.read(0x9000)).toBeNull();
  });

  it("a copy shows the same memory at another place, also at odd offsets of a mapping", () => {
    const host = attached();
    const { io, ioas, other, second, memory } = host;
    map(io, ioas, memory.address, 8, 0);
    memory.bytes.fill(0x33, 3 * PAGE, 4 * PAGE);
    second.attach(other);
    io.copy({ from: ioas, to: other, src: 2 * PAGE, size: 4 * PAGE, dst: 0x80_0000 });
    expect(dma(host, NVME).read(0x80_1000)).toEqual([0x33, 0x33, 0x33, 0x33]);
    io.unmapAll(ioas);
    expect(dma(host, NVME).read(0x80_1000)).toEqual([0x33, 0x33, 0x33, 0x33]);
    expect(dma(host, NVME).read(0x80_4000)).toBeNull();
  });
});

describe("vfio-core iommufd: who is charged", () => {
  it("a user, for all of its processes together, each by its own limit", () => {
    const { io, ioas, memory, kernel, fd, process, state } = attached({ memlock: 24 * PAGE });
    map(io, ioas, memory.address, 16, 0);
    const child = process.fork();
    expect(map(io.by(child), ioas, memory.address, 16, 0x10_0000)).toBe(-ENOMEM);
    child.setrlimit("memlock", { soft: 8 * PAGE, hard: 8 * PAGE });
    expect(map(io.by(child), ioas, memory.address, 1, 0x10_0000)).toBe(-ENOMEM);
    // Another user's counter is its own.
    const stranger = kernel.spawn({ root: false, memlock: 16 * PAGE });
    const file = process.fileOf(fd);
    if (!file) throw new Error("no iommufd");
    const theirs = rawIommufd(stranger, stranger.install(file.get()));
    expect(map(theirs, ioas, ram(stranger, 16).address, 16, 0x20_0000)).toBe(0x20_0000);
    expect(state().user).toBe(16);
    expect(stranger.mm.pinnedPages).toBe(16);
  });

  it("the process that mapped, whoever makes hardware need the pages", () => {
    const { io, process, node, ioas, memory } = attached();
    node.detach();
    const child = process.fork();
    expect(map(io.by(child), ioas, memory.address, 4, 0)).toBe(0);
    expect(node.attach(ioas)).toBeGreaterThan(0);
    expect([process.mm.pinnedPages, child.mm.pinnedPages]).toEqual([0, 4]);
    node.detach();
    child.exit();
    expect(node.attach(ioas)).toBe(-EFAULT);
  });

  it("an address space, in the mode that VFIO's container has", () => {
    const { io, memory, process, core } = attached({ capabilities: ["SYS_RESOURCE"], memlock: 24 * PAGE });
    expect(io.alloc()).toBeGreaterThan(0);
    const fd = process.open("/dev/iommu", 2);
    const mine = rawIommufd(process, fd);
    expect(mine.option(0, 0, 0, 1n)).toBe(1);
    const ioas = mine.alloc();
    const node = rawNode(process, "0000:02:00.0");
    node.bind(fd);
    node.attach(ioas);
    expect(map(mine, ioas, memory.address, 16, 0)).toBe(0);
    expect(process.mm.lockedPages).toBe(16);
    expect(core.iommufd?.accounts.lockedBy(process)).toBe(0);
    expect(map(mine, ioas, memory.address, 16, 0x10_0000)).toBe(-ENOMEM);
    mine.unmapAll(ioas);
    expect(process.mm.lockedPages).toBe(0);
  });
});
