// The C library calls of the real host, bound through koffi. koffi is loaded on first use, so that everything else
// of this package works on machines where it does not load. Failed calls come back as -errno.
// ioctl is bound twice, without varargs: one taking a value, one taking a pointer (a typed array goes straight in).

import { createRequire } from "node:module";
import type Koffi from "koffi";
import { MinivmmError } from "../error.ts";

export type KoffiModule = typeof Koffi;
type Bytes = Uint8Array | null;

export interface Libc {
  readonly koffi: KoffiModule;
  open(path: string, flags: number, mode: number): number;
  close(fd: number): number;
  dup(fd: number): number;
  ioctlValue(fd: number, request: number, value: number | bigint): number;
  ioctlPointer(fd: number, request: number, bytes: Bytes): number;
  read(fd: number, into: Bytes, length: number): number;
  write(fd: number, from: Bytes, length: number): number;
  pread(fd: number, into: Bytes, length: number, offset: number): number;
  pwrite(fd: number, from: Bytes, length: number, offset: number): number;
  mmap(address: bigint, length: number, prot: number, flags: number, fd: number, offset: number): number;
  munmap(address: bigint, length: number): number;
  eventfd(initial: number, flags: number): number;
  getrlimit(which: number, limit: Bytes): number;
  setrlimit(which: number, limit: Bytes): number;
  getpagesize(): number;
  epollCreate(flags: number): number;
  epollControl(epoll: number, operation: number, fd: number, event: Bytes): number;
}

let loaded: Libc | null = null;

/** Throws MinivmmError KOFFI_UNAVAILABLE, with the reason as its cause, where koffi or libc does not load. */
export function libc(): Libc {
  loaded ??= bind(loadKoffi());
  return loaded;
}

function loadKoffi(): KoffiModule {
  try {
    return createRequire(import.meta.url)("koffi") as KoffiModule;
  } catch (cause) {
    throw new MinivmmError(
      `koffi, which makes the system calls, does not load on ${process.platform} ${process.arch}`,
      {
        code: "KOFFI_UNAVAILABLE",
        details: { platform: process.platform, arch: process.arch },
        hint: "Use the modelled host here, or install koffi's binary for this machine.",
        cause,
      },
    );
  }
}

/** Makes a caller of a C function: (its name, type of its result, types of its arguments). */
export type Binder = <A extends unknown[]>(name: string, result: string, args: string[]) => (...args: A) => number;

/** A binder whose callers return -errno for -1. */
export function binder(koffi: KoffiModule): Binder {
  const c = koffi.load(null);
  return (name, result, args) => {
    const call = c.func(name, result, args);
    return (...values) => {
      const returned = call(...values) as number;
      return returned === -1 ? -koffi.errno() : returned;
    };
  };
}

function bind(koffi: KoffiModule): Libc {
  const checked = binder(koffi);
  return {
    koffi,
    open: checked("open", "int", ["const char *", "int", "int"]),
    close: checked("close", "int", ["int"]),
    dup: checked("dup", "int", ["int"]),
    ioctlValue: checked("ioctl", "int", ["int", "unsigned long", "long"]),
    ioctlPointer: checked("ioctl", "int", ["int", "unsigned long", "void *"]),
    read: checked("read", "intptr_t", ["int", "void *", "size_t"]),
    write: checked("write", "intptr_t", ["int", "const void *", "size_t"]),
    pread: checked("pread64", "intptr_t", ["int", "void *", "size_t", "int64_t"]),
    pwrite: checked("pwrite64", "intptr_t", ["int", "const void *", "size_t", "int64_t"]),
    mmap: checked("mmap64", "intptr_t", ["intptr_t", "size_t", "int", "int", "int", "int64_t"]),
    munmap: checked("munmap", "int", ["intptr_t", "size_t"]),
    eventfd: checked("eventfd", "int", ["unsigned int", "int"]),
    getrlimit: checked("getrlimit64", "int", ["int", "void *"]),
    setrlimit: checked("setrlimit64", "int", ["int", "const void *"]),
    getpagesize: checked("getpagesize", "int", []),
    epollCreate: checked("epoll_create1", "int", ["int"]),
    epollControl: checked("epoll_ctl", "int", ["int", "int", "int", "const void *"]),
  };
}
