// The C library calls by which a process makes others, gives up privileges and handles memory by address; bound apart
// from libc.ts, since a virtual machine needs none of them. Failed calls come back as -errno.
// Invariants: addresses are bigints and never dereferenced here; the kernel checks them.

import { type Binder, binder, libc } from "./libc.ts";

type Bytes = Uint8Array | null;

export interface ProcessCalls {
  getpid(): number;
  fork(): number;
  /** Ends the process at once: nothing of Node runs any more. */
  _exit(status: number): void;
  kill(pid: number, signal: number): number;
  waitpid(pid: number, status: Bytes, options: number): number;
  /** The fourth and fifth argument are 0, which some options insist on. */
  prctl(option: number, value: number, argument: Bytes): number;
  /** Closes the descriptors [first, last]. */
  closeRange(first: number, last: number, flags: number): number;
  pipe2(pair: Bytes, flags: number): number;
  memfdCreate(name: string, flags: number): number;
  ftruncate(fd: number, length: number): number;
  capget(header: Bytes, data: Bytes): number;
  capset(header: Bytes, data: Bytes): number;
  munmap(address: bigint, length: number): number;
  mprotect(address: bigint, length: number, prot: number): number;
  madvise(address: bigint, length: number, advice: number): number;
  /** pread and pwrite with an address instead of a buffer. */
  preadAt(fd: number, address: bigint, length: number, offset: number): number;
  pwriteAt(fd: number, address: bigint, length: number, offset: number): number;
  /** Copies between iovecs of this process and of another, or of this one. */
  processVmReadv(pid: number, local: Bytes, remote: Bytes): number;
  processVmWritev(pid: number, local: Bytes, remote: Bytes): number;
  sleep(ms: number): void;
}

let loaded: ProcessCalls | null = null;

/** Throws MinivmmError KOFFI_UNAVAILABLE where koffi does not load. */
export function processCalls(): ProcessCalls {
  loaded ??= bind(binder(libc().koffi));
  return loaded;
}

function bind(checked: Binder): ProcessCalls {
  const vm = ["int", "const void *", "unsigned long", "const void *", "unsigned long", "unsigned long"];
  const readv = checked<[number, Bytes, number, Bytes, number, number]>("process_vm_readv", "intptr_t", vm);
  const writev = checked<[number, Bytes, number, Bytes, number, number]>("process_vm_writev", "intptr_t", vm);
  const poll = checked<[Bytes, number, number]>("poll", "int", ["void *", "unsigned long", "int"]);
  const long = "unsigned long";
  const prctl = checked<[number, number, Bytes, number, number]>("prctl", "int", [
    "int",
    long,
    "const void *",
    long,
    long,
  ]);
  return {
    getpid: checked("getpid", "int", []),
    fork: checked("fork", "int", []),
    _exit: checked("_exit", "int", ["int"]),
    kill: checked("kill", "int", ["int", "int"]),
    waitpid: checked("waitpid", "int", ["int", "void *", "int"]),
    prctl: (option, value, argument) => prctl(option, value, argument, 0, 0),
    closeRange: checked("close_range", "int", ["unsigned int", "unsigned int", "int"]),
    pipe2: checked("pipe2", "int", ["void *", "int"]),
    memfdCreate: checked("memfd_create", "int", ["const char *", "unsigned int"]),
    ftruncate: checked("ftruncate64", "int", ["int", "int64_t"]),
    capget: checked("capget", "int", ["void *", "void *"]),
    capset: checked("capset", "int", ["void *", "const void *"]),
    munmap: checked("munmap", "int", ["intptr_t", "size_t"]),
    mprotect: checked("mprotect", "int", ["intptr_t", "size_t", "int"]),
    madvise: checked("madvise", "int", ["intptr_t", "size_t", "int"]),
    preadAt: checked("pread64", "intptr_t", ["int", "intptr_t", "size_t", "int64_t"]),
    pwriteAt: checked("pwrite64", "intptr_t", ["int", "intptr_t", "size_t", "int64_t"]),
    processVmReadv: (pid, local, remote) => readv(pid, local, 1, remote, 1, 0),
    processVmWritev: (pid, local, remote) => writev(pid, local, 1, remote, 1, 0),
    sleep: (ms) => void poll(null, 0, ms),
  };
}
