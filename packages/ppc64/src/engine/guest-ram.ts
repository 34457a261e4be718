// Guest RAM that a CPU works on in place: one shared WebAssembly.Memory with room for the CPU's own state in front.
// Whoever runs guests allocates it, shows its bytes to others (a memory slot of KVM, a DMA mapping), and whoever makes the
// CPU finds the memory again by its buffer, because a SharedArrayBuffer does not lead back to its WebAssembly.Memory.
// Invariant: one CPU at a time keeps its state in such a memory.

import { Ppc64Error } from "../error.ts";
import { sharedMemory, type WasmMemory } from "../wasm/runtime.ts";
import { type MemoryPlan, memoryPlan } from "./layout.ts";

export interface GuestRamOptions {
  /** Bytes of guest RAM from guest real 0: a multiple of 64 KiB, below about 4 GiB minus the decode pool. */
  readonly ramBytes: number;
  /** How many code pages are kept decoded, 20 KiB each. Default 4096. */
  readonly decodePages?: number;
  /** Copies of 4 KiB pages of memory that lies elsewhere (see PageFrames). Default 0. */
  readonly framePages?: number;
}

export interface GuestRam extends MemoryPlan {
  readonly memory: WasmMemory;
  readonly ramBytes: number;
  readonly decodePages: number;
  readonly framePages: number;
}

const DEFAULT_DECODE_PAGES = 4096;
const LARGEST_MEMORY = 2 ** 32;

const byBuffer = new WeakMap<ArrayBufferLike, GuestRam>();
const taken = new WeakSet<GuestRam>();

/** Throws Ppc64Error CPU_RAM_SIZE or CPU_DECODE_PAGES for impossible options, and RangeError when there is no memory. */
export function allocateGuestRam(options: GuestRamOptions): GuestRam {
  const { ramBytes, decodePages = DEFAULT_DECODE_PAGES, framePages = 0 } = options;
  if (!Number.isInteger(ramBytes) || ramBytes < 0 || ramBytes % 65536 !== 0 || (ramBytes === 0 && framePages === 0)) {
    throw new Ppc64Error(`ramBytes is ${ramBytes}, which is no positive multiple of 64 KiB`, {
      code: "CPU_RAM_SIZE",
      details: { ramBytes },
    });
  }
  if (!Number.isInteger(decodePages) || decodePages < 1) {
    throw new Ppc64Error(`decodePages is ${decodePages}; at least one page is needed`, {
      code: "CPU_DECODE_PAGES",
      details: { poolPages: decodePages },
    });
  }
  const plan = memoryPlan(ramBytes, decodePages, framePages);
  if (plan.totalBytes > LARGEST_MEMORY) {
    throw new Ppc64Error(`${ramBytes} bytes of RAM do not fit: state, decode pool and RAM share 4 GiB`, {
      code: "CPU_RAM_SIZE",
      details: { ramBytes, ...plan },
      hint: `At most ${LARGEST_MEMORY - plan.ramOffset} bytes fit with this decode pool.`,
    });
  }
  const ram: GuestRam = { ...plan, memory: sharedMemory(plan.totalBytes), ramBytes, decodePages, framePages };
  byBuffer.set(ram.memory.buffer, ram);
  return ram;
}

/** The RAM that allocateGuestRam() made with this buffer. */
export function guestRamOf(buffer: ArrayBufferLike): GuestRam | undefined {
  return byBuffer.get(buffer);
}

/** Whether a CPU keeps its state there. */
export function guestRamTaken(ram: GuestRam): boolean {
  return taken.has(ram);
}

/** For the one CPU that works on it. Throws Ppc64Error CPU_RAM_TAKEN. */
export function takeGuestRam(ram: GuestRam): void {
  if (taken.has(ram)) {
    throw new Ppc64Error("another CPU keeps its state in this guest RAM", {
      code: "CPU_RAM_TAKEN",
      hint: "Give each CPU its own RAM, or release() the other one.",
    });
  }
  taken.add(ram);
}

export function giveBackGuestRam(ram: GuestRam): void {
  taken.delete(ram);
}
