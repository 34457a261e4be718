// eventfd: a 64-bit counter behind a descriptor (fs/eventfd.c). Reading takes the count (or 1 with EFD_SEMAPHORE),
// writing adds. Nothing in this model sleeps: a read or write that would block returns -EAGAIN whether or not
// EFD_NONBLOCK was asked for. The counter is two 32-bit halves; signal() is on the interrupt path and allocates nothing.
// Order on a signal: kernel users first (an irqfd may consume the count), then watchers if it is still readable.

import { EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, O_RDWR } from "../constants.ts";
import { EAGAIN, EINVAL } from "../errno.ts";
import { type FileOps, OpenFile } from "./file.ts";
import { KernelError } from "./kernel-error.ts";

const TWO_32 = 2 ** 32;
const MAX_HALF = 0xffff_ffff;

export interface EventFdOptions {
  /** EFD_SEMAPHORE. Default false. */
  semaphore?: boolean;
  /** Refuse writes that are longer than eight bytes too, as kernels do since 6.9. Default true. */
  strictWrite?: boolean;
}

export class EventFd implements FileOps {
  readonly kind = "eventfd";
  readonly semaphore: boolean;
  readonly #strictWrite: boolean;
  #lo: number;
  #hi = 0;
  readonly #wakers = new Set<() => void>();
  readonly #watchers = new Set<() => void>();
  readonly #hangups = new Set<() => void>();

  constructor(initial = 0, options: EventFdOptions = {}) {
    this.#lo = initial >>> 0;
    this.semaphore = options.semaphore ?? false;
    this.#strictWrite = options.strictWrite ?? true;
  }

  /** eventfd2(2): an open file on a new counter. Throws KernelError EINVAL for unknown flags. */
  static create(initial: number, flags: number, options: EventFdOptions = {}): OpenFile {
    if (flags & ~(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)) throw new KernelError(EINVAL);
    const event = new EventFd(initial, { ...options, semaphore: (flags & EFD_SEMAPHORE) !== 0 });
    return new OpenFile(event, O_RDWR | (flags & ~EFD_SEMAPHORE));
  }

  /** The eventfd behind an open file; undefined when it is another kind of file. */
  static from(file: OpenFile | undefined): EventFd | undefined {
    return file?.ops instanceof EventFd ? file.ops : undefined;
  }

  /** The counter; exact below 2^53. */
  get count(): number {
    return this.#hi * TWO_32 + this.#lo;
  }

  /** eventfd_signal: adds `n` (below 2^32), stopping at 2^64 - 1, and wakes everybody. */
  signal(n = 1): void {
    this.#add(0, n >>> 0);
    this.#wake();
  }

  /** eventfd_ctx_do_read for kernel users: takes the count, or 1 in semaphore mode; 0 when there is nothing. */
  drain(): number {
    const taken = this.semaphore ? Math.min(this.count, 1) : this.count;
    this.#take();
    return taken;
  }

  /** Calls a kernel user at each wake-up, before watchers. */
  onWake(callback: () => void): { close(): void } {
    return subscribe(this.#wakers, callback);
  }

  /** Calls a kernel user when the last descriptor is gone (EPOLLHUP). Kernel users keep the counter, not the file. */
  onHangup(callback: () => void): { close(): void } {
    return subscribe(this.#hangups, callback);
  }

  poll(): boolean {
    return this.#lo !== 0 || this.#hi !== 0;
  }

  watch(onReadable: () => void): { close(): void } {
    return subscribe(this.#watchers, onReadable);
  }

  read(into: Uint8Array): number {
    if (into.length < 8) return -EINVAL;
    if (!this.poll()) return -EAGAIN;
    store32(into, 0, this.semaphore ? 1 : this.#lo);
    store32(into, 4, this.semaphore ? 0 : this.#hi);
    this.#take();
    return 8;
  }

  write(from: Uint8Array): number {
    if (from.length < 8 || (this.#strictWrite && from.length > 8)) return -EINVAL;
    const lo = load32(from, 0);
    const hi = load32(from, 4);
    if (hi === MAX_HALF && lo === MAX_HALF) return -EINVAL;
    if (!this.#fits(hi, lo)) return -EAGAIN;
    this.#add(hi, lo);
    this.#wake();
    return 8;
  }

  /** The counter itself lives on while a kernel user keeps it; only the descriptors' watchers end here. */
  release(): void {
    this.#watchers.clear();
    for (const hangup of [...this.#hangups]) hangup();
    this.#hangups.clear();
  }

  /** Whether count + (hi, lo) stays at or below 2^64 - 2, the highest value a write may reach. */
  #fits(hi: number, lo: number): boolean {
    const low = this.#lo + lo;
    const high = this.#hi + hi + (low >= TWO_32 ? 1 : 0);
    return high < MAX_HALF || (high === MAX_HALF && low % TWO_32 !== MAX_HALF);
  }

  #add(hi: number, lo: number): void {
    const low = this.#lo + lo;
    const high = this.#hi + hi + (low >= TWO_32 ? 1 : 0);
    this.#hi = Math.min(high, MAX_HALF);
    this.#lo = high > MAX_HALF ? MAX_HALF : low >>> 0;
  }

  #take(): void {
    if (!this.semaphore) {
      this.#lo = 0;
      this.#hi = 0;
    } else if (this.#lo > 0) {
      this.#lo--;
    } else if (this.#hi > 0) {
      this.#hi--;
      this.#lo = MAX_HALF;
    }
  }

  #wake(): void {
    for (const wake of this.#wakers) wake();
    for (const watcher of this.#watchers) {
      if (!this.poll()) break;
      watcher();
    }
  }
}

/** Registers `callback` as an entry of its own, so the same function may be registered twice. */
function subscribe(set: Set<() => void>, callback: () => void): { close(): void } {
  const entry = (): void => callback();
  set.add(entry);
  return {
    close: () => {
      set.delete(entry);
    },
  };
}

function load32(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + 4);
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}

function store32(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = value >>> (8 * i);
}
