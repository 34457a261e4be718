// Host: what a process may ask of the kernel below it. Two implementations exist, the real Linux kernel through
// system calls and a modelled kernel; a program written against Host runs on both.
// Invariants: every call returns >= 0 or -errno and throws for nothing that a kernel would refuse. Descriptors,
// addresses and limits are those of one process. File offsets are below 2^53 (a VFIO region index sits at 2^40).

import type { Arch } from "./ioctl.ts";

/**
 * Third argument of ioctl: a value (number, sign-extended like a C long), a raw user address (bigint, see
 * `Host.addressOf`), or a buffer that is passed by pointer, read and written in place.
 */
export type IoctlArg = number | bigint | Uint8Array;

export interface MmapRequest {
  /** Bytes; rounded up to whole pages. */
  length: number;
  /** PROT_* bits. */
  prot: number;
  /** MAP_* bits. */
  flags: number;
  /** Absent for MAP_ANONYMOUS. */
  fd?: number;
  /** File offset, page aligned. Default 0. */
  offset?: number;
  /** Wanted address: binding with MAP_FIXED, otherwise a suggestion. */
  address?: bigint;
}

export type AccessWidth = 1 | 2 | 4;

/** A mapped range. Values are unsigned and little endian. */
export interface Mapping extends Disposable {
  readonly address: bigint;
  /** Bytes, whole pages. */
  readonly length: number;
  /** The mapped bytes; null when the range is device memory of a modelled kernel: use load and store. */
  readonly bytes: Uint8Array | null;
  /** One access of `width` bytes at a naturally aligned offset. Throws MinivmmError MAPPING_RANGE outside the mapping. */
  load(offset: number, width: AccessWidth): number;
  store(offset: number, width: AccessWidth, value: number): void;
  /** Unmaps; 0 or -errno. A second call does nothing. `bytes` must not be used afterwards. */
  close(): number;
}

export interface Rlimit {
  soft: number;
  hard: number;
}

/** What stat(2) says of a path, links followed. */
export interface FileStat {
  /** Permission bits, without the file's type. */
  mode: number;
  uid: number;
  gid: number;
}

export interface Watch {
  close(): void;
}

/** Threads of this process by the kernel's numbers: for getting one out of a system call that it is blocked in. */
export interface HostThreads {
  /** Number of the calling thread. */
  current(): number;
  /**
   * Makes a system call that thread `id` of this process is blocked in return EINTR; harmless otherwise. 0 or -errno.
   * A thread that is only about to make its call is not stopped: leave word where it looks first (KVM's immediate_exit).
   */
  interrupt(id: number): number;
}

export interface Host {
  readonly name: string;
  readonly arch: Arch;
  readonly pageSize: number;
  /** Absent where no call blocks: on modelled hosts. */
  readonly threads?: HostThreads;

  open(path: string, flags: number): number;
  close(fd: number): number;
  dup(fd: number): number;
  ioctl(fd: number, request: number, arg?: IoctlArg): number;
  read(fd: number, into: Uint8Array): number;
  write(fd: number, from: Uint8Array): number;
  pread(fd: number, into: Uint8Array, offset: number): number;
  pwrite(fd: number, from: Uint8Array, offset: number): number;
  mmap(request: MmapRequest): Mapping | number;

  /**
   * User virtual address of bytes that the process owns. On the modelled host the whole underlying buffer is entered
   * in the process's address space on first use, page aligned, and keeps its address.
   * On a real host the caller keeps `memory` alive and uses shared or mapped memory, which the collector never moves.
   */
  addressOf(memory: Uint8Array): bigint;

  /** A new eventfd: `initial` is the counter, `flags` are EFD_* bits. */
  eventfd(initial: number, flags: number): number;

  /**
   * Calls `onReadable` when `fd` has something to read. The callback reads the descriptor empty. The modelled host
   * calls it inside the call that made fd readable, the real host from the event loop.
   * Throws MinivmmError WATCH_REFUSED for a descriptor that cannot be watched.
   */
  watch(fd: number, onReadable: () => void): Watch;

  /** `memlock` in bytes, `nofile` in descriptors; Infinity is unlimited. */
  getrlimit(which: "memlock" | "nofile"): Rlimit;
  setrlimit(which: "memlock" | "nofile", limit: Rlimit): number;

  readFile(path: string): Uint8Array | number;
  writeFile(path: string, data: Uint8Array | string): number;
  /** Names in a directory, sorted. */
  readdir(path: string): string[] | number;
  readlink(path: string): string | number;
  exists(path: string): boolean;
  /** Permissions and owner, or -errno. */
  stat(path: string): FileStat | number;

  /** Closes everything the process still holds. */
  exit(): void;
}
