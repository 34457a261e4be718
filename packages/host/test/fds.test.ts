import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EBADF, EINVAL, EMFILE, EPERM, O_RDWR } from "../src/index.ts";
import { type FileOps, ModelKernel, type ModelProcess, OpenFile } from "../src/model/index.ts";

/** A device whose releases are counted by serial number of the open. */
class Probe {
  readonly kernel = new ModelKernel();
  readonly releases = new Map<number, number>();
  #next = 0;

  constructor() {
    this.kernel.registerNode("/dev/probe", () => this.make());
  }

  make(): FileOps {
    const serial = this.#next++;
    return {
      kind: "probe",
      ioctl: () => serial,
      release: () => this.releases.set(serial, (this.releases.get(serial) ?? 0) + 1),
    };
  }
}

// The model: which serial each descriptor shows, and which references the kernel side holds besides.
interface Model {
  fds: Map<number, number>;
  held: number[];
  opened: number;
  limit: number;
}
interface Real {
  probe: Probe;
  process: ModelProcess;
  held: OpenFile[];
}

function lowestFree(model: Model): number {
  let fd = 0;
  while (model.fds.has(fd)) fd++;
  return fd < model.limit ? fd : -EMFILE;
}

function check(model: Model, real: Real): void {
  expect(real.process.fds.list()).toEqual([...model.fds.keys()].sort((a, b) => a - b));
  for (const [fd, serial] of model.fds) expect(real.process.ioctl(fd, 0)).toBe(serial);
  const alive = new Set([...model.fds.values(), ...model.held]);
  for (let serial = 0; serial < model.opened; serial++) {
    expect(real.probe.releases.get(serial) ?? 0).toBe(alive.has(serial) ? 0 : 1);
  }
}

class Open implements fc.Command<Model, Real> {
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    const expected = lowestFree(model);
    expect(real.process.open("/dev/probe", O_RDWR)).toBe(expected);
    // Without a descriptor no file is opened: the driver hears nothing.
    if (expected >= 0) model.fds.set(expected, model.opened++);
    check(model, real);
  }
  toString = (): string => "open";
}

class OnFd implements fc.Command<Model, Real> {
  readonly op: "close" | "dup" | "hold";
  readonly fd: number;
  constructor(op: "close" | "dup" | "hold", fd: number) {
    this.op = op;
    this.fd = fd;
  }
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    const serial = model.fds.get(this.fd);
    if (this.op === "close") {
      expect(real.process.close(this.fd)).toBe(serial === undefined ? -EBADF : 0);
      model.fds.delete(this.fd);
    } else if (this.op === "dup") {
      const expected = serial === undefined ? -EBADF : lowestFree(model);
      expect(real.process.dup(this.fd)).toBe(expected);
      if (serial !== undefined && expected >= 0) model.fds.set(expected, serial);
    } else if (serial !== undefined) {
      model.held.push(serial);
      real.held.push((real.process.fileOf(this.fd) as OpenFile).get());
    }
    check(model, real);
  }
  toString = (): string => `${this.op} ${this.fd}`;
}

class PutHeld implements fc.Command<Model, Real> {
  check = (model: Readonly<Model>): boolean => model.held.length > 0;
  run(model: Model, real: Real): void {
    model.held.shift();
    real.held.shift()?.put();
    check(model, real);
  }
  toString = (): string => "put";
}

class Limit implements fc.Command<Model, Real> {
  readonly limit: number;
  constructor(limit: number) {
    this.limit = limit;
  }
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    expect(real.process.setrlimit("nofile", { soft: this.limit, hard: 64 })).toBe(0);
    model.limit = this.limit;
    check(model, real);
  }
  toString = (): string => `nofile ${this.limit}`;
}

class Exit implements fc.Command<Model, Real> {
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    real.process.exit();
    model.fds.clear();
    check(model, real);
  }
  toString = (): string => "exit";
}

describe("host model: descriptors", () => {
  test("host descriptors: lowest free number, one reference each, release exactly once", () => {
    const fd = fc.integer({ min: -1, max: 9 });
    const commands = fc.commands(
      [
        fc.constant(new Open()),
        fd.map((n) => new OnFd("close", n)),
        fd.map((n) => new OnFd("dup", n)),
        fd.map((n) => new OnFd("hold", n)),
        fc.constant(new PutHeld()),
        fc.integer({ min: 0, max: 8 }).map((n) => new Limit(n)),
        fc.constant(new Exit()),
      ],
      { maxCommands: 60 },
    );
    fc.assert(
      fc.property(commands, (steps) => {
        const probe = new Probe();
        const process = probe.kernel.spawn({ nofile: 64 });
        fc.modelRun(
          () => ({ model: { fds: new Map(), held: [], opened: 0, limit: 64 }, real: { probe, process, held: [] } }),
          steps,
        );
      }),
    );
  });

  test("host descriptors: every call on a descriptor that is not open is -EBADF", () => {
    const process = new ModelKernel().spawn();
    const bytes = new Uint8Array(8);
    for (const fd of [-1, 0, 7, 1.5, Number.NaN]) {
      expect([
        process.close(fd),
        process.dup(fd),
        process.ioctl(fd, 1),
        process.read(fd, bytes),
        process.write(fd, bytes),
        process.pread(fd, bytes, 0),
        process.pwrite(fd, bytes, 0),
        process.mmap({ length: 1, prot: 1, flags: 1, fd }),
      ]).toEqual(Array(8).fill(-EBADF));
      expect(() => process.watch(fd, () => undefined)).toThrow(
        expect.objectContaining({ code: "WATCH_REFUSED", errno: EBADF }),
      );
    }
  });

  test("host descriptors: exit unmaps first, then closes in ascending order", () => {
    const kernel = new ModelKernel();
    const order: string[] = [];
    let serial = 0;
    kernel.registerNode("/dev/a", () => {
      const name = `file ${serial++}`;
      return { kind: "a", release: () => order.push(name) };
    });
    const process = kernel.spawn();
    for (let i = 0; i < 4; i++) process.open("/dev/a", O_RDWR);
    process.close(1);
    process.open("/dev/a", O_RDWR);
    process.exit();
    process.exit();
    expect(order).toEqual(["file 1", "file 0", "file 4", "file 2", "file 3"]);
  });

  test("host descriptors: an ioctl may close its own descriptor; the file lives until it returns", () => {
    const kernel = new ModelKernel();
    let released = false;
    kernel.registerNode("/dev/a", () => ({
      kind: "a",
      ioctl({ process, arg }) {
        process.close(arg.number);
        return released ? 1 : 0;
      },
      release: () => {
        released = true;
      },
    }));
    const process = kernel.spawn();
    const fd = process.open("/dev/a", O_RDWR);
    expect(process.ioctl(fd, 1, fd)).toBe(0);
    expect(released).toBe(true);
  });

  test("host descriptors: taking or putting a released file is a named error", () => {
    const file = new OpenFile({ kind: "x" });
    file.put();
    expect(() => file.put()).toThrow(expect.objectContaining({ code: "FILE_RELEASED" }));
    expect(() => file.get()).toThrow(expect.objectContaining({ code: "FILE_RELEASED" }));
  });

  test("host limits: raising the hard limit needs SYS_RESOURCE, soft stays below hard", () => {
    const kernel = new ModelKernel();
    const plain = kernel.spawn({ memlock: 65536 });
    expect(plain.getrlimit("memlock")).toEqual({ soft: 65536, hard: 65536 });
    expect(plain.setrlimit("memlock", { soft: 1, hard: 65537 })).toBe(-EPERM);
    expect(plain.setrlimit("memlock", { soft: 5, hard: 4 })).toBe(-EINVAL);
    expect(plain.setrlimit("memlock", { soft: 1, hard: 2 })).toBe(0);
    expect(plain.getrlimit("memlock")).toEqual({ soft: 1, hard: 2 });
    const admin = kernel.spawn({ memlock: 1, capabilities: ["CAP_SYS_RESOURCE"] });
    expect(admin.setrlimit("memlock", { soft: Number.POSITIVE_INFINITY, hard: Number.POSITIVE_INFINITY })).toBe(0);
  });
});
