// The third argument of an ioctl as a driver sees it: a value, or a pointer into the caller's memory.
// A buffer argument stands for a pointer to its bytes, with nothing mapped behind them: touching more is -EFAULT.
// Hot drivers use view(), which allocates nothing when the caller passes the same one or two buffers again.

import { EFAULT } from "../errno.ts";
import type { IoctlArg } from "../host.ts";
import { KernelError } from "./kernel-error.ts";
import type { AddressSpace } from "./mm.ts";

/** The memory that pointers mean: that of the calling process. */
export interface UserMemory {
  readonly mm: AddressSpace;
  addressOf(memory: Uint8Array): bigint;
}

export class UserArg {
  readonly #process: UserMemory;
  #raw: number | bigint = 0;
  #bytes: Uint8Array | null = null;
  #view: DataView | null = null;
  #viewed: Uint8Array | null = null;
  /** The buffer before that one: callers often take turns with two, such as one to map and one to unmap. */
  #otherView: DataView | null = null;
  #otherViewed: Uint8Array | null = null;

  constructor(process: UserMemory, arg: IoctlArg = 0) {
    this.#process = process;
    this.set(arg);
  }

  /** Points this object at another argument. */
  set(arg: IoctlArg): this {
    if (typeof arg === "object") {
      this.#bytes = arg;
    } else {
      this.#bytes = null;
      this.#raw = arg;
    }
    return this;
  }

  /** The argument as an unsigned 64-bit value; for a buffer, its address in the process. */
  get value(): bigint {
    return BigInt.asUintN(64, this.#bytes ? this.#process.addressOf(this.#bytes) : BigInt(this.#raw));
  }

  /** The argument as a number, exact below 2^53: what a driver uses that takes a plain value. Negative stays negative. */
  get number(): number {
    return Number(this.#bytes ? this.#process.addressOf(this.#bytes) : this.#raw);
  }

  /**
   * The caller's own bytes, at least `size` of them, or null (-EFAULT). "rw" also asks for write permission, where
   * the argument is an address. Valid during the call.
   */
  view(size: number, access: "r" | "rw" = "rw"): DataView | null {
    const bytes = this.#bytes;
    if (bytes) {
      if (bytes.byteLength < size) return null;
      if (this.#viewed !== bytes) {
        const before = this.#otherViewed === bytes ? this.#otherView : null;
        this.#otherView = this.#view;
        this.#otherViewed = this.#viewed;
        this.#view = before ?? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        this.#viewed = bytes;
      }
      return this.#view;
    }
    const memory = this.#process.mm.resolve(this.number, size, { write: access === "rw" });
    return memory ? new DataView(memory.buffer, memory.byteOffset, memory.byteLength) : null;
  }

  /** copy_from_user of `size` bytes at the pointer plus `offset`, as a copy. Throws KernelError EFAULT. */
  copyIn(size: number, offset = 0): Uint8Array {
    const bytes = this.#bytes;
    if (bytes) {
      if (offset + size > bytes.byteLength) throw new KernelError(EFAULT);
      return new Uint8Array(bytes.subarray(offset, offset + size));
    }
    const copy = new Uint8Array(size);
    if (!this.#process.mm.read(this.number + offset, copy)) throw new KernelError(EFAULT);
    return copy;
  }

  /** copy_to_user at the pointer plus `offset`. Throws KernelError EFAULT, with nothing written. */
  copyOut(data: Uint8Array, offset = 0): void {
    const bytes = this.#bytes;
    if (bytes) {
      if (offset + data.byteLength > bytes.byteLength) throw new KernelError(EFAULT);
      bytes.set(data, offset);
    } else if (!this.#process.mm.write(this.number + offset, data)) {
      throw new KernelError(EFAULT);
    }
  }

  /** Another pointer of the same caller, for example one found inside a struct. May be kept. */
  at(address: bigint | number): UserArg {
    return new UserArg(this.#process, address);
  }
}
