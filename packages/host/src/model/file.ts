// An open file (struct file) and what a driver implements for it (struct file_operations).
// Descriptors, memory areas and kernel users (a KVM-VFIO device, an irqfd) each hold one reference; the driver's
// release runs exactly once, when the last reference is put.

import { MinivmmError } from "../error.ts";
import type { Mapping } from "../host.ts";
import type { UserArg } from "./arg.ts";
import type { ModelProcess } from "./process.ts";

/** One ioctl on its way to a driver. The object and its `arg` are reused: neither may be kept after the call. */
export interface IoctlCall {
  readonly file: OpenFile;
  readonly process: ModelProcess;
  /** Unsigned 32-bit request number. */
  readonly request: number;
  readonly arg: UserArg;
}

export interface MmapCall {
  readonly file: OpenFile;
  readonly process: ModelProcess;
  /** Bytes, whole pages. */
  readonly length: number;
  readonly prot: number;
  readonly flags: number;
  /** Byte offset in the file, page aligned. */
  readonly offset: number;
  /** The caller's wanted address, 0 for none. */
  readonly address: number;
}

/** A driver's answers. All return >= 0 or -errno and may throw KernelError. An absent one is refused as Linux does. */
export interface FileOps {
  /** What the file is, for messages and for kernel users that check it: "vfio-group", "eventfd". */
  readonly kind: string;
  /** Absent: -ENOTTY. */
  ioctl?(call: IoctlCall): number;
  /** Sequential access. Absent: -EINVAL. Returns bytes moved. */
  read?(into: Uint8Array, file: OpenFile, process: ModelProcess): number;
  write?(from: Uint8Array, file: OpenFile, process: ModelProcess): number;
  /** Positioned access. Absent: -ESPIPE. */
  pread?(into: Uint8Array, offset: number, file: OpenFile, process: ModelProcess): number;
  pwrite?(from: Uint8Array, offset: number, file: OpenFile, process: ModelProcess): number;
  /** Answer with mapDevice or mapBytes. Absent: -ENODEV. */
  mmap?(call: MmapCall): Mapping | number;
  /** Whether a read would not block. */
  poll?(): boolean;
  /** Registers a callback for "became readable". Absent: the file cannot be watched. */
  watch?(onReadable: () => void): { close(): void };
  /** The last reference is gone. */
  release?(file: OpenFile): void;
}

export class OpenFile {
  readonly ops: FileOps;
  /** O_* flags of the open call. */
  readonly flags: number;
  /** Position of sequential access, for drivers that have one. */
  position = 0;
  #refs = 1;

  /** The creator owns the first reference. */
  constructor(ops: FileOps, flags = 0) {
    this.ops = ops;
    this.flags = flags;
  }

  get refs(): number {
    return this.#refs;
  }

  get(): this {
    if (this.#refs === 0) throw misuse(this, "taken");
    this.#refs++;
    return this;
  }

  put(): void {
    if (this.#refs === 0) throw misuse(this, "put");
    if (--this.#refs === 0) this.ops.release?.(this);
  }
}

function misuse(file: OpenFile, what: string): MinivmmError {
  return new MinivmmError(`a reference on a released ${file.ops.kind} file was ${what}`, {
    code: "FILE_RELEASED",
    details: { kind: file.ops.kind },
    hint: "A driver holds one reference for each pointer it keeps, and puts it once.",
  });
}
