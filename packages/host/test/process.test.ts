import { describe, expect, test } from "vitest";
import {
  EACCES,
  EBADF,
  EBUSY,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOTTY,
  ESPIPE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
} from "../src/index.ts";
import { type FileOps, KernelError, type MmapCall, ModelKernel, mapBytes, mapDevice } from "../src/model/index.ts";

const RW = PROT_READ | PROT_WRITE;

function withDevice(ops: Partial<FileOps>): {
  kernel: ModelKernel;
  open: (flags?: number) => ReturnType<typeof start>;
} {
  const kernel = new ModelKernel();
  kernel.registerNode("/dev/x", () => ({ kind: "x", ...ops }));
  const start = (flags = O_RDWR) => {
    const process = kernel.spawn();
    return { process, fd: process.open("/dev/x", flags) };
  };
  return { kernel, open: start };
}

describe("host model: ioctl arguments", () => {
  const EXCHANGE = 1; // reads a u32 at the pointer, writes it plus one behind it
  const VIEW = 2;
  const ops: Partial<FileOps> = {
    ioctl({ request, arg }) {
      if (request === EXCHANGE) {
        const value = new DataView(arg.copyIn(4).buffer).getUint32(0, true);
        arg.copyOut(new Uint8Array(Uint32Array.of(value + 1).buffer), 4);
        return 0;
      }
      if (request === VIEW) {
        const view = arg.view(8);
        if (!view) return -EFAULT;
        view.setUint32(4, view.getUint32(0, true) + 1, true);
        return 0;
      }
      return arg.number;
    },
  };

  test.each([
    ["copyIn and copyOut", EXCHANGE],
    ["view", VIEW],
  ])("host ioctl argument: %s reach the caller's bytes, by buffer or by address", (_name, request) => {
    const { process, fd } = withDevice(ops).open();
    const memory = new Uint8Array(new SharedArrayBuffer(64)).subarray(12, 20);
    memory[0] = 41;
    expect(process.ioctl(fd, request, memory)).toBe(0);
    expect(memory[4]).toBe(42);
    memory[0] = 7;
    expect(process.ioctl(fd, request, process.addressOf(memory))).toBe(0);
    expect(memory[4]).toBe(8);
  });

  test.each([
    ["copies", EXCHANGE],
    ["view", VIEW],
  ])("host ioctl argument: %s beyond a buffer's end or at a wild pointer are -EFAULT", (_name, request) => {
    const { process, fd } = withDevice(ops).open();
    const short = new Uint8Array(7);
    expect(process.ioctl(fd, request, short)).toBe(-EFAULT);
    expect([...short]).toEqual(Array(7).fill(0));
    for (const wild of [0, -1, 1n, 0x10_0000n, 2n ** 64n - 1n, 2n ** 63n]) {
      expect(process.ioctl(fd, request, wild)).toBe(-EFAULT);
    }
  });

  test("host ioctl argument: memory that is mapped read-only can be read but not written", () => {
    const { process, fd } = withDevice(ops).open();
    const at = process.mm.mapAnonymous({ length: 4096, prot: PROT_READ });
    expect(process.ioctl(fd, EXCHANGE, at)).toBe(-EFAULT);
    expect(process.ioctl(fd, VIEW, at)).toBe(-EFAULT);
    const readers = withDevice({ ioctl: ({ arg }) => arg.view(8, "r")?.byteLength ?? -EFAULT });
    const reader = readers.open();
    const there = reader.process.mm.mapAnonymous({ length: 4096, prot: PROT_READ });
    expect(reader.process.ioctl(reader.fd, 0, there)).toBe(8);
  });

  test("host ioctl argument: values arrive as given, also negative ones and 64-bit ones", () => {
    const seen: unknown[] = [];
    const { process, fd } = withDevice({
      ioctl({ arg }) {
        seen.push(arg.number, arg.value);
        return 0;
      },
    }).open();
    for (const value of [5, -1, 2n ** 64n - 1n]) process.ioctl(fd, 0, value);
    process.ioctl(fd, 0);
    expect(seen).toEqual([5, 5n, -1, 2n ** 64n - 1n, 2 ** 64, 2n ** 64n - 1n, 0, 0n]);
  });

  test("host ioctl argument: at() follows a pointer found in a struct", () => {
    const target = new Uint8Array(4).fill(9);
    const { process, fd } = withDevice({
      ioctl: ({ arg }) => arg.at(arg.view(8)?.getBigUint64(0, true) ?? 0n).copyIn(4)[3] as number,
    }).open();
    expect(process.ioctl(fd, 0, new Uint8Array(BigUint64Array.of(process.addressOf(target)).buffer))).toBe(9);
    expect(process.ioctl(fd, 0, new Uint8Array(8))).toBe(-EFAULT);
  });

  test("host ioctl argument: an ioctl inside an ioctl has an argument of its own", () => {
    const { process, fd } = withDevice({
      ioctl({ arg, process: caller, request }) {
        if (request === 0) return arg.number;
        const inner = caller.ioctl(fd, 0, 1000);
        return inner + arg.number;
      },
    }).open();
    expect(process.ioctl(fd, 1, 7)).toBe(1007);
  });
});

describe("host model: system calls", () => {
  test("host open: missing nodes, refusing drivers, permissions", () => {
    const kernel = new ModelKernel();
    kernel.registerNode("/dev/busy", () => -EBUSY);
    kernel.registerNode("/dev/throws", () => {
      throw new KernelError(ENODEV);
    });
    const node = kernel.registerNode("/dev/ro", () => ({ kind: "ro" }), 0o604);
    const process = kernel.spawn();
    expect(process.open("/dev/none", O_RDWR)).toBe(-ENOENT);
    expect(process.open("/dev/busy", O_RDWR)).toBe(-EBUSY);
    expect(process.open("/dev/throws", O_RDWR)).toBe(-ENODEV);
    const user = kernel.spawn({ root: false });
    expect(user.open("/dev/ro", O_RDWR)).toBe(-EACCES);
    expect(user.open("/dev/ro", O_WRONLY)).toBe(-EACCES);
    expect(user.open("/dev/ro", O_RDONLY)).toBe(0);
    expect(() => kernel.registerNode("/dev/ro", () => 0)).toThrow(expect.objectContaining({ code: "NODE_EXISTS" }));
    node.remove();
    expect(process.open("/dev/ro", O_RDONLY)).toBe(-ENOENT);
  });

  test("host calls: what a driver does not offer is refused as Linux refuses it", () => {
    const { process, fd } = withDevice({}).open();
    const bytes = new Uint8Array(4);
    expect(process.ioctl(fd, 1)).toBe(-ENOTTY);
    expect([process.read(fd, bytes), process.write(fd, bytes)]).toEqual([-EINVAL, -EINVAL]);
    expect([process.pread(fd, bytes, 0), process.pwrite(fd, bytes, 0)]).toEqual([-ESPIPE, -ESPIPE]);
    expect(process.pread(fd, bytes, -1)).toBe(-EINVAL);
    expect(process.mmap({ length: 4096, prot: RW, flags: MAP_SHARED, fd })).toBe(-ENODEV);
    expect(() => process.watch(fd, () => undefined)).toThrow(expect.objectContaining({ code: "WATCH_REFUSED" }));
  });

  test("host calls: access modes are enforced and KernelError becomes -errno everywhere", () => {
    const fail = (): never => {
      throw new KernelError(EBUSY);
    };
    const device = withDevice({ ioctl: fail, read: fail, write: fail, pread: fail, pwrite: fail, mmap: fail });
    const { process, fd } = device.open();
    const bytes = new Uint8Array(4);
    expect([
      process.ioctl(fd, 1),
      process.read(fd, bytes),
      process.write(fd, bytes),
      process.pread(fd, bytes, 0),
      process.pwrite(fd, bytes, 0),
      process.mmap({ length: 4096, prot: RW, flags: MAP_SHARED, fd }),
    ]).toEqual(Array(6).fill(-EBUSY));
    const reader = device.open(O_RDONLY);
    expect([reader.process.write(reader.fd, bytes), reader.process.pwrite(reader.fd, bytes, 0)]).toEqual([
      -EBADF,
      -EBADF,
    ]);
    const writer = device.open(O_WRONLY);
    expect([writer.process.read(writer.fd, bytes), writer.process.pread(writer.fd, bytes, 0)]).toEqual([
      -EBADF,
      -EBADF,
    ]);
  });

  test("host calls: a driver's own fault is not disguised as a refusal", () => {
    const { process, fd } = withDevice({
      ioctl() {
        throw new TypeError("bug in the driver");
      },
    }).open();
    expect(() => process.ioctl(fd, 1)).toThrow("bug in the driver");
    expect(process.fileOf(fd)?.refs).toBe(1);
  });

  test("host mmap: the rules every mmap obeys", () => {
    const process = new ModelKernel().spawn();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    expect(process.mmap({ length: 0, prot: RW, flags })).toBe(-EINVAL);
    expect(process.mmap({ length: 1, prot: RW, flags: MAP_ANONYMOUS })).toBe(-EINVAL);
    expect(process.mmap({ length: 1, prot: RW, flags, offset: 1 })).toBe(-EINVAL);
    expect(process.mmap({ length: 1, prot: RW, flags: MAP_PRIVATE })).toBe(-EBADF);
  });

  test("host mmap: anonymous memory is zeroed, whole pages, and addressOf finds it again", () => {
    const process = new ModelKernel({ arch: "ppc64le" }).spawn();
    const mapping = process.mmap({ length: 10, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`);
    const bytes = mapping.bytes as Uint8Array;
    expect([mapping.length, bytes.length]).toEqual([65536, 65536]);
    expect(process.addressOf(bytes.subarray(5))).toBe(mapping.address + 5n);
    mapping.store(4, 4, 0x89abcdef);
    expect([mapping.load(4, 4), mapping.load(6, 2), mapping.load(7, 1)]).toEqual([0x89abcdef, 0x89ab, 0x89]);
    expect(process.mm.resolve(mapping.address + 4n, 1)?.[0]).toBe(0xef);
    for (const [offset, width] of [
      [65536, 1],
      [65534, 4],
      [2, 4],
      [-4, 4],
    ] as const) {
      expect(() => mapping.load(offset, width)).toThrow(expect.objectContaining({ code: "MAPPING_RANGE" }));
    }
    expect(mapping.close()).toBe(0);
    expect(process.mm.areas).toHaveLength(0);
    const again = process.mmap({ length: 10, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    expect(mapping.close()).toBe(0);
    expect(process.mm.areas).toHaveLength(1);
    expect(typeof again).toBe("object");
  });

  test("host mmap: device memory answers accesses, has no bytes, and keeps its file", () => {
    const writes: number[][] = [];
    let released = 0;
    const { process, fd } = withDevice({
      mmap: (call: MmapCall) =>
        mapDevice(call, {
          physical: 0xf000_0000 + call.offset,
          load: (offset, width) => offset * 16 + width,
          store: (...access) => writes.push(access),
        }),
      release: () => released++,
    }).open();
    const mapping = process.mmap({ length: 8192, prot: RW, flags: MAP_SHARED, fd, offset: 4096 });
    if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`);
    process.close(fd);
    expect(released).toBe(0);
    expect(mapping.bytes).toBeNull();
    expect(mapping.load(8, 4)).toBe(132);
    mapping.store(2, 2, 99);
    expect(writes).toEqual([[2, 2, 99]]);
    const at = Number(mapping.address);
    expect(process.mm.resolve(at, 4)).toBeNull();
    expect(process.mm.virtToPhys(at + 4100)).toBe(0xf000_0000 + 4096 + 4100);
    process.mm.munmap(at, 4096);
    expect(released).toBe(0);
    mapping[Symbol.dispose]();
    expect(released).toBe(1);
  });

  test("host mmap: driver memory is shared with every process that maps it", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(8192));
    const device = withDevice({
      mmap: (call) => mapBytes(call, shared.subarray(call.offset, call.offset + call.length)),
    });
    const [a, b] = [device.open(), device.open()];
    const request = { length: 4096, prot: RW, flags: MAP_SHARED, offset: 4096 };
    const left = a.process.mmap({ ...request, fd: a.fd });
    const right = b.process.mmap({ ...request, fd: b.fd });
    if (typeof left === "number" || typeof right === "number") throw new Error("mmap refused");
    left.store(0, 4, 77);
    expect([right.load(0, 4), shared[4096]]).toEqual([77, 77]);
    const hpa = a.process.mm.virtToPhys(Number(left.address));
    expect(b.process.mm.virtToPhys(Number(right.address))).toBe(hpa);
    a.process.exit();
    expect(device.kernel.physical.resolve(hpa, 1)?.[0]).toBe(77);
    b.process.exit();
    expect(device.kernel.physical.resolve(hpa, 1)).toBeNull();
  });
});

describe("host model: drivers and the kernel they live in", () => {
  test("host model: a call leads to the kernel it came through", () => {
    const kernel = new ModelKernel({ profile: "4.12" });
    const seen: ModelKernel[] = [];
    kernel.registerNode("/dev/x", (process) => {
      seen.push(process.kernel);
      return { kind: "x" };
    });
    expect(kernel.spawn().open("/dev/x", O_RDWR)).toBe(0);
    expect(seen).toEqual([kernel]);
  });
});
