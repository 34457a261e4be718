// Memory of this process by address: what is mapped where, copies that cannot end in a signal, single accesses that can.
// Source: proc(5) on /proc/PID/maps; process_vm_readv(2).

import { readFileSync } from "node:fs";
import { EFAULT } from "../errno.ts";
import { libc } from "./libc.ts";
import { processCalls } from "./process-calls.ts";

/** Nothing is ever mapped here: vm.mmap_min_addr is above. */
const UNTOUCHABLE = 16n;

export interface MemoryArea {
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
  readonly shared: boolean;
  /** Path of the mapped file, or "". */
  readonly path: string;
}

/** What is mapped in this process, in order. Source: /proc/self/maps. */
export function memoryAreas(): MemoryArea[] {
  const line = /^([0-9a-f]+)-([0-9a-f]+) ...([ps]) \S+ \S+ \d+ *(.*)$/gm;
  return [...readFileSync("/proc/self/maps", "latin1").matchAll(line)].map(([, start, end, kind, path = ""]) => ({
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    shared: kind === "s",
    path,
  }));
}
/** Copies `into.length` bytes at `address`; -EFAULT where they cannot all be read. The kernel copies, so no signal comes. */
export function readMemory(address: bigint, into: Uint8Array): number {
  return copy(address, into, processCalls().processVmReadv);
}

export function writeMemory(address: bigint, from: Uint8Array): number {
  return copy(address, from, processCalls().processVmWritev);
}

function copy(
  address: bigint,
  bytes: Uint8Array,
  call: (pid: number, local: Uint8Array, remote: Uint8Array) => number,
) {
  if (bytes.length === 0) return 0;
  const iovec = (at: bigint): Uint8Array => new Uint8Array(new BigUint64Array([at, BigInt(bytes.length)]).buffer);
  const ret = call(processCalls().getpid(), iovec(libc().koffi.address(bytes)), iovec(address));
  return ret === bytes.length ? 0 : ret < 0 ? ret : -EFAULT;
}

/** pread with a buffer that cannot be touched. */
export function preadFault(fd: number, size: number, offset: number): number {
  return processCalls().preadAt(fd, UNTOUCHABLE, size, offset);
}

export function pwriteFault(fd: number, size: number, offset: number): number {
  return processCalls().pwriteAt(fd, UNTOUCHABLE, size, offset);
}

/** Whether `address` is memory that only this process sees, memory that others share, or a device's; null if unmapped. */
export function memoryKind(address: bigint): "private" | "shared" | "device" | null {
  const area = memoryAreas().find(({ start, end }) => address >= start && address < end);
  if (!area) return null;
  if (!area.shared) return "private";
  return /^\/(dev\/zero|memfd:)/.test(area.path) ? "shared" : "device";
}

type TypedArray = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;
const ACCESSORS: Readonly<Record<number, new (buffer: ArrayBuffer) => TypedArray>> = {
  1: Uint8Array,
  2: Uint16Array,
  4: Uint32Array,
  8: BigUint64Array,
};

/** One access of 1, 2, 4 or 8 bytes, to load or (with `value`) to store; the process gets a signal where it may not. */
export function access(address: bigint, width: number, value?: bigint): bigint {
  const Accessor = ACCESSORS[width];
  if (!Accessor) throw new RangeError(`no access is ${width} bytes wide`);
  const memory = new Accessor(libc().koffi.view(address, width) as ArrayBuffer);
  if (value === undefined) return BigInt(memory[0] as number | bigint);
  if (memory instanceof BigUint64Array) memory[0] = BigInt.asUintN(64, value);
  else memory[0] = Number(BigInt.asUintN(width * 8, value));
  return 0n;
}
