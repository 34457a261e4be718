// The real Linux kernel as a Host: each call is one system call of this process.
// exit() closes what came through open, dup, eventfd and mmap; a descriptor that an ioctl returned (a VM, a VFIO
// device) belongs to whoever asked for it.

import { EINVAL } from "../errno.ts";
import { MinivmmError } from "../error.ts";
import type { FileStat, Host, HostThreads, IoctlArg, Mapping, MmapRequest, Rlimit, Watch } from "../host.ts";
import type { Arch } from "../ioctl.ts";
import * as files from "./files.ts";
import { type Libc, libc } from "./libc.ts";
import { RealMapping } from "./mapping.ts";
import { realThreads } from "./threads.ts";
import { Watches } from "./watches.ts";

const RLIMIT = { nofile: 7, memlock: 8 } as const;
const RLIM_INFINITY = 2n ** 64n - 1n;
const MAX_VIEW = 2 ** 32;
const ARCHES: Partial<Record<NodeJS.Architecture, Arch>> = { x64: "x86_64", ppc64: "ppc64le" };

/** The kernel under this process. Throws MinivmmError HOST_UNSUPPORTED or KOFFI_UNAVAILABLE where there is no way to it. */
export function realHost(): Host {
  const arch = ARCHES[process.arch];
  if (process.platform !== "linux" || !arch) {
    throw new MinivmmError(`system calls are not supported on ${process.platform} ${process.arch}`, {
      code: "HOST_UNSUPPORTED",
      details: { platform: process.platform, arch: process.arch },
      hint: "Use the modelled host here; the real one needs Linux on x86_64.",
    });
  }
  return new RealHost(libc(), arch);
}

class RealHost implements Host {
  readonly name = "Linux";
  readonly arch: Arch;
  readonly pageSize: number;
  readonly threads: HostThreads = realThreads;
  readonly #libc: Libc;
  readonly #watches: Watches;
  readonly #fds = new Set<number>();
  readonly #mappings = new Set<RealMapping>();

  constructor(libc: Libc, arch: Arch) {
    this.#libc = libc;
    this.arch = arch;
    this.pageSize = libc.getpagesize();
    this.#watches = new Watches(libc);
  }

  open(path: string, flags: number): number {
    return this.#own(this.#libc.open(path, flags, 0));
  }

  close(fd: number): number {
    this.#watches.forget(fd);
    this.#fds.delete(fd);
    return this.#libc.close(fd);
  }

  dup(fd: number): number {
    return this.#own(this.#libc.dup(fd));
  }

  ioctl(fd: number, request: number, arg: IoctlArg = 0): number {
    if (typeof arg === "object") return this.#libc.ioctlPointer(fd, request, arg);
    return this.#libc.ioctlValue(fd, request, typeof arg === "bigint" ? BigInt.asIntN(64, arg) : arg);
  }

  read(fd: number, into: Uint8Array): number {
    return this.#libc.read(fd, into, into.byteLength);
  }

  write(fd: number, from: Uint8Array): number {
    return this.#libc.write(fd, from, from.byteLength);
  }

  pread(fd: number, into: Uint8Array, offset: number): number {
    return this.#libc.pread(fd, into, into.byteLength, offset);
  }

  pwrite(fd: number, from: Uint8Array, offset: number): number {
    return this.#libc.pwrite(fd, from, from.byteLength, offset);
  }

  mmap(request: MmapRequest): Mapping | number {
    const length = Math.ceil(request.length / this.pageSize) * this.pageSize;
    if (!(length > 0)) return -EINVAL;
    if (length > MAX_VIEW) {
      throw new MinivmmError(`a mapping of ${length} bytes is more than one view can show (4 GiB)`, {
        code: "MAPPING_TOO_LARGE",
        details: { length, limit: MAX_VIEW },
        hint: "Map the range in parts.",
      });
    }
    const { prot, flags, fd = -1, offset = 0, address = 0n } = request;
    const at = this.#libc.mmap(address, length, prot, flags, fd, offset);
    if (at < 0) return at;
    const mapping = new RealMapping(this.#libc, BigInt(at), length, (m) => this.#mappings.delete(m));
    this.#mappings.add(mapping);
    return mapping;
  }

  addressOf(memory: Uint8Array): bigint {
    return this.#libc.koffi.address(memory);
  }

  eventfd(initial: number, flags: number): number {
    return this.#own(this.#libc.eventfd(initial, flags));
  }

  watch(fd: number, onReadable: () => void): Watch {
    return this.#watches.watch(fd, onReadable);
  }

  getrlimit(which: "memlock" | "nofile"): Rlimit {
    const raw = new BigUint64Array(2);
    this.#libc.getrlimit(RLIMIT[which], new Uint8Array(raw.buffer));
    return { soft: fromRlim(raw[0] as bigint), hard: fromRlim(raw[1] as bigint) };
  }

  setrlimit(which: "memlock" | "nofile", limit: Rlimit): number {
    if (!(limit.soft >= 0 && limit.soft <= limit.hard)) return -EINVAL;
    const raw = new BigUint64Array([toRlim(limit.soft), toRlim(limit.hard)]);
    return this.#libc.setrlimit(RLIMIT[which], new Uint8Array(raw.buffer));
  }

  readFile(path: string): Uint8Array | number {
    return files.readFile(path);
  }

  writeFile(path: string, data: Uint8Array | string): number {
    return files.writeFile(path, data);
  }

  readdir(path: string): string[] | number {
    return files.readdir(path);
  }

  readlink(path: string): string | number {
    return files.readlink(path);
  }

  exists(path: string): boolean {
    return files.exists(path);
  }

  stat(path: string): FileStat | number {
    return files.stat(path);
  }

  exit(): void {
    this.#watches.clear();
    for (const mapping of [...this.#mappings]) mapping.close();
    for (const fd of [...this.#fds].sort((a, b) => a - b)) this.close(fd);
  }

  #own(fd: number): number {
    if (fd >= 0) this.#fds.add(fd);
    return fd;
  }
}

function fromRlim(value: bigint): number {
  return value === RLIM_INFINITY ? Number.POSITIVE_INFINITY : Number(value);
}

function toRlim(value: number): bigint {
  return value === Number.POSITIVE_INFINITY ? RLIM_INFINITY : BigInt(Math.floor(value));
}
