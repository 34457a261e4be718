// A process of the modelled kernel: descriptors, address space, limits and capabilities, and the system calls on them.
// The calls look things up and hand over to drivers; the rules of a device live with the device.
// Invariants: each call returns >= 0 or -errno; a driver's KernelError becomes -errno; a driver's other errors are
// faults of the model and are thrown. During an ioctl the file cannot be released under the driver.

import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, O_ACCMODE, O_RDONLY, O_WRONLY } from "../constants.ts";
import { EBADF, EINVAL, ENODEV, ENOENT, ENOTDIR, ENOTTY, EPERM, ESPIPE } from "../errno.ts";
import { MinivmmError } from "../error.ts";
import type { FileStat, IoctlArg, Mapping, MmapRequest, Rlimit, Watch } from "../host.ts";
import type { Arch } from "../ioctl.ts";
import { UserArg } from "./arg.ts";
import { EventFd } from "./eventfd.ts";
import { FdTable } from "./fds.ts";
import { type IoctlCall, type KernelFrame, type ModelProcess, OpenFile, type SpawnOptions } from "./file.ts";
import { copyAreas, copyDescriptors } from "./fork.ts";
import { refusal } from "./kernel-error.ts";
import { ModelMapping } from "./mapping.ts";
import { AddressSpace } from "./mm.ts";
import * as proc from "./proc.ts";

/** The first user that Debian makes. */
const ORDINARY_USER = 1000;

interface MutableCall extends IoctlCall {
  file: OpenFile;
  request: number;
}

export class Process implements ModelProcess {
  readonly kernel: KernelFrame;
  readonly name: string;
  readonly arch: Arch;
  readonly pageSize: number;
  readonly pid: number;
  readonly comm: string;
  readonly root: boolean;
  readonly uid: number;
  readonly gid: number;
  readonly mm: AddressSpace;
  readonly fds: FdTable<OpenFile>;
  readonly rlimits: { memlock: Rlimit; nofile: Rlimit };
  readonly #capabilities: Set<string>;
  /** One reusable call for each nesting depth: an ioctl may lead to another one through a watcher. */
  readonly #calls: MutableCall[] = [];
  #depth = 0;

  constructor(kernel: KernelFrame, options: SpawnOptions = {}) {
    const { memlock = Number.POSITIVE_INFINITY, nofile = 1024 * 1024 } = options;
    this.kernel = kernel;
    this.name = `modelled Linux ${kernel.profile} ${kernel.arch}`;
    this.arch = kernel.arch;
    this.pageSize = kernel.pageSize;
    this.comm = options.comm ?? "minivmm";
    this.root = options.root ?? true;
    this.uid = options.uid ?? (this.root ? 0 : ORDINARY_USER);
    this.gid = options.gid ?? this.uid;
    this.rlimits = { memlock: { soft: memlock, hard: memlock }, nofile: { soft: nofile, hard: nofile } };
    this.#capabilities = new Set([...(options.capabilities ?? [])].map(bareName));
    this.fds = new FdTable(() => this.rlimits.nofile.soft);
    this.mm = new AddressSpace({
      pageSize: kernel.pageSize,
      physical: kernel.physical,
      memlockLimit: () => this.rlimits.memlock.soft,
      mayExceedMemlock: () => this.has("IPC_LOCK"),
    });
    this.pid = kernel.processes.add(this);
  }

  get capabilities(): ReadonlySet<string> {
    return this.#capabilities;
  }

  has(capability: string): boolean {
    return this.#capabilities.has(bareName(capability));
  }

  drop(capability: string): void {
    this.#capabilities.delete(bareName(capability));
  }

  fork(): Process {
    const { root, uid, gid, comm } = this;
    const child = new Process(this.kernel, { root, uid, gid, comm, capabilities: this.#capabilities });
    for (const which of ["memlock", "nofile"] as const) child.rlimits[which] = this.getrlimit(which);
    copyDescriptors(this.fds, child.fds);
    copyAreas(this.mm, child.mm);
    return child;
  }

  fileOf(fd: number): OpenFile | undefined {
    return this.fds.get(fd);
  }

  install(file: OpenFile): number {
    const fd = this.fds.install(file);
    if (fd < 0) file.put();
    return fd;
  }

  open(path: string, flags: number): number {
    // The descriptor comes before the file: with a full table nothing is opened, and nobody hears of it.
    const fd = this.fds.next();
    if (fd < 0) return fd;
    try {
      const ops = this.kernel.openPath(this, path, flags);
      return typeof ops === "number" ? ops : this.install(new OpenFile(ops, flags, path));
    } catch (error) {
      return refusal(error);
    }
  }

  close(fd: number): number {
    return this.fds.close(fd);
  }

  dup(fd: number): number {
    return this.fds.dup(fd);
  }

  ioctl(fd: number, request: number, arg: IoctlArg = 0): number {
    const file = this.fds.get(fd);
    if (!file) return -EBADF;
    if (!file.ops.ioctl) return -ENOTTY;
    const call = this.#calls[this.#depth] ?? this.#newCall(file);
    call.file = file;
    call.request = request >>> 0;
    call.arg.set(arg);
    this.#depth++;
    file.get();
    try {
      return file.ops.ioctl(call);
    } catch (error) {
      return refusal(error);
    } finally {
      this.#depth--;
      file.put();
    }
  }

  read(fd: number, into: Uint8Array): number {
    const file = this.fds.get(fd);
    if (!file || (file.flags & O_ACCMODE) === O_WRONLY) return -EBADF;
    try {
      return file.ops.read ? file.ops.read(into, file, this) : -EINVAL;
    } catch (error) {
      return refusal(error);
    }
  }

  write(fd: number, from: Uint8Array): number {
    const file = this.fds.get(fd);
    if (!file || (file.flags & O_ACCMODE) === O_RDONLY) return -EBADF;
    try {
      return file.ops.write ? file.ops.write(from, file, this) : -EINVAL;
    } catch (error) {
      return refusal(error);
    }
  }

  pread(fd: number, into: Uint8Array, offset: number): number {
    const file = this.fds.get(fd);
    if (offset < 0) return -EINVAL;
    if (!file || (file.flags & O_ACCMODE) === O_WRONLY) return -EBADF;
    try {
      return file.ops.pread ? file.ops.pread(into, offset, file, this) : -ESPIPE;
    } catch (error) {
      return refusal(error);
    }
  }

  pwrite(fd: number, from: Uint8Array, offset: number): number {
    const file = this.fds.get(fd);
    if (offset < 0) return -EINVAL;
    if (!file || (file.flags & O_ACCMODE) === O_RDONLY) return -EBADF;
    try {
      return file.ops.pwrite ? file.ops.pwrite(from, offset, file, this) : -ESPIPE;
    } catch (error) {
      return refusal(error);
    }
  }

  mmap(request: MmapRequest): Mapping | number {
    const { prot, flags, offset = 0 } = request;
    const length = Math.ceil(request.length / this.pageSize) * this.pageSize;
    const address = Number(request.address ?? 0n);
    if (!(length > 0) || offset % this.pageSize !== 0 || offset < 0) return -EINVAL;
    if (!(flags & (MAP_SHARED | MAP_PRIVATE))) return -EINVAL;
    if (flags & MAP_ANONYMOUS) {
      const at = this.mm.mapAnonymous({ length, prot, flags, address });
      if (at < 0) return at;
      const buffer = this.mm.areaAt(at)?.backing.buffer as ArrayBufferLike;
      return new ModelMapping(this.mm, at, buffer.byteLength, new Uint8Array(buffer), null);
    }
    const file = this.fds.get(request.fd ?? -1);
    if (!file) return -EBADF;
    if (!file.ops.mmap) return -ENODEV;
    try {
      return file.ops.mmap({ file, process: this, length, prot, flags, offset, address });
    } catch (error) {
      return refusal(error);
    }
  }

  addressOf(memory: Uint8Array): bigint {
    const start = this.mm.adopt(memory.buffer);
    if (start < 0) {
      throw new MinivmmError(`no room in the address space for a buffer of ${memory.buffer.byteLength} bytes`, {
        code: "ADDRESS_SPACE_FULL",
        errno: -start,
      });
    }
    return BigInt(start + memory.byteOffset);
  }

  eventfd(initial: number, flags: number): number {
    try {
      return this.install(EventFd.create(initial, flags, { strictWrite: this.kernel.profile === "6.12" }));
    } catch (error) {
      return refusal(error);
    }
  }

  watch(fd: number, onReadable: () => void): Watch {
    const file = this.fds.get(fd);
    if (!file?.ops.watch) {
      throw new MinivmmError(
        `descriptor ${fd} cannot be watched: ${file ? `it is a ${file.ops.kind} file` : "it is not open"}`,
        {
          code: "WATCH_REFUSED",
          errno: file ? EPERM : EBADF,
          details: { fd, kind: file?.ops.kind },
          hint: "Watch descriptors that become readable, such as eventfds.",
        },
      );
    }
    let open = true;
    const subscription = file.ops.watch(onReadable);
    // Readiness that was there before: reported from the microtask queue, so the caller has its handle by then.
    queueMicrotask(() => {
      if (open && file.refs > 0 && file.ops.poll?.()) onReadable();
    });
    return {
      close() {
        open = false;
        subscription.close();
      },
    };
  }

  getrlimit(which: "memlock" | "nofile"): Rlimit {
    return { ...this.rlimits[which] };
  }

  setrlimit(which: "memlock" | "nofile", limit: Rlimit): number {
    if (!(limit.soft >= 0 && limit.soft <= limit.hard)) return -EINVAL;
    if (limit.hard > this.rlimits[which].hard && !this.has("SYS_RESOURCE")) return -EPERM;
    this.rlimits[which] = { soft: limit.soft, hard: limit.hard };
    return 0;
  }

  readFile(path: string): Uint8Array | number {
    return proc.readFile(this, path) ?? this.kernel.sysfs.readFile(path);
  }

  writeFile(path: string, data: Uint8Array | string): number {
    return this.kernel.sysfs.writeFile(path, data);
  }

  readdir(path: string): string[] | number {
    const processes = proc.readdir(this, path);
    if (typeof processes === "number") return processes;
    const more = [...this.kernel.nodesIn(path), ...(processes ?? [])];
    const names = this.kernel.sysfs.readdir(path);
    if (typeof names === "number") return processes || (more.length > 0 && names !== -ENOTDIR) ? more.sort() : names;
    return [...new Set([...names, ...more])].sort();
  }

  readlink(path: string): string | number {
    const link = proc.readlink(this, path);
    if (link !== undefined) return link;
    const target = this.kernel.sysfs.readlink(path);
    return target === -ENOENT && this.kernel.nodes.has(path) ? -EINVAL : target;
  }

  exists(path: string): boolean {
    const { nodes, sysfs } = this.kernel;
    return nodes.has(path) || sysfs.exists(path) || this.kernel.nodesIn(path).length > 0 || proc.exists(this, path);
  }

  stat(path: string): FileStat | number {
    const node = this.kernel.nodes.get(path);
    if (node) return { mode: node.mode, uid: node.uid ?? 0, gid: node.gid ?? 0 };
    const attribute = this.kernel.sysfs.attribute(path);
    if (typeof attribute === "number") return this.exists(path) ? { mode: 0o755, uid: 0, gid: 0 } : -ENOENT;
    return { mode: (attribute.read ? 0o444 : 0) | (attribute.write ? 0o200 : 0), uid: 0, gid: 0 };
  }

  /** As do_exit does: first the address space, then descriptors in ascending order. May be called again. */
  exit(): void {
    this.mm.clear();
    for (const fd of this.fds.list()) this.fds.close(fd);
    this.mm.releasePhysical();
    this.kernel.processes.remove(this);
  }

  #newCall(file: OpenFile): MutableCall {
    const call = { file, process: this, request: 0, arg: new UserArg(this) };
    this.#calls.push(call);
    return call;
  }
}

function bareName(capability: string): string {
  return capability.replace(/^CAP_/, "");
}
