// An open file (struct file), what a driver implements for it (struct file_operations), and what a driver sees of the
// process that calls it and of the kernel around both: these mention each other, so they live together.
// Descriptors, memory areas and kernel users (a KVM-VFIO device, an irqfd) each hold one reference; the driver's
// release runs exactly once, when the last reference is put.

import { MinivmmError } from "../error.ts";
import type { Host, Mapping, Rlimit } from "../host.ts";
import type { Arch, IoctlNumbers } from "../ioctl.ts";
import type { UserArg } from "./arg.ts";
import type { Clock } from "./clock.ts";
import type { FdTable } from "./fds.ts";
import type { AddressSpace } from "./mm.ts";
import type { PhysicalMemory } from "./physical.ts";
import type { ProcessTable } from "./process-table.ts";
import type { SysFs } from "./sysfs.ts";

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
  /**
   * What pwrite would answer before it looks at the caller's bytes: how many it would take, or -errno. It decides what
   * a write from memory that cannot be read fails with. Absent: -EFAULT comes first.
   */
  checkWrite?(size: number, offset: number): number;
  /** Answer with mapDevice or mapBytes. Absent: -ENODEV. */
  mmap?(call: MmapCall): Mapping | number;
  /** Whether a read would not block. */
  poll?(): boolean;
  /** Registers a callback for "became readable". Absent: the file cannot be watched. */
  watch?(onReadable: () => void): { close(): void };
  /** The last reference is gone. */
  release?(file: OpenFile): void;
}

/** Which kernel's rules apply where they changed. */
export type KernelProfile = "6.12" | "6.1" | "4.12" | "3.11";

/** Opens a device node: operations for the new open file, or -errno. May throw KernelError. */
export type OpenNode = (process: ModelProcess, flags: number) => FileOps | number;

export interface DeviceNode {
  readonly open: OpenNode;
  /** Permission bits. */
  readonly mode: number;
  /** Default 0: root. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface SpawnOptions {
  /** RLIMIT_MEMLOCK in bytes, soft and hard. Default Infinity. */
  memlock?: number;
  /** RLIMIT_NOFILE, soft and hard. Default 1024 * 1024. */
  nofile?: number;
  /** Capabilities by name, with or without "CAP_". Default none. */
  capabilities?: Iterable<string>;
  /** Whether file permissions are passed over. Default true. */
  root?: boolean;
  /** User and group. Default 0 for root, else 1000. */
  uid?: number;
  gid?: number;
  /** The command's name, up to 15 bytes, as /proc/PID/comm shows it. Default "minivmm". */
  comm?: string;
}

/** The modelled kernel as drivers and processes see it; class ModelKernel makes one. */
export interface KernelFrame {
  readonly arch: Arch;
  /** Base page size in bytes. */
  readonly pageSize: number;
  readonly profile: KernelProfile;
  /** Request numbers of this architecture. */
  readonly ioctls: IoctlNumbers;
  readonly physical: PhysicalMemory;
  readonly clock: Clock;
  readonly sysfs: SysFs;
  /** Kernel messages, oldest first. */
  readonly log: string[];
  /** Character devices by path; registerNode adds them. */
  readonly nodes: Map<string, DeviceNode>;
  /** Processes that have not ended. */
  readonly processes: ProcessTable<ModelProcess>;
  /** Adds a character device at an absolute path. `mode` are permission bits, default 0600. */
  registerNode(path: string, open: OpenNode, mode?: number): { remove(): void };
  /** Names of the nodes below a directory, such as "/dev/vfio", unsorted. */
  nodesIn(directory: string): string[];
  /** Path lookup of open(2): operations for the file, or -errno. */
  openPath(process: ModelProcess, path: string, flags: number): FileOps | number;
  /** A new process. */
  spawn(options?: SpawnOptions): ModelProcess;
}

/** A process of the modelled kernel; ModelKernel.spawn makes one. */
export interface ModelProcess extends Host {
  readonly kernel: KernelFrame;
  readonly pid: number;
  readonly comm: string;
  readonly root: boolean;
  readonly uid: number;
  readonly gid: number;
  /** Names without "CAP_". */
  readonly capabilities: ReadonlySet<string>;
  readonly mm: AddressSpace;
  readonly fds: FdTable<OpenFile>;
  readonly rlimits: { memlock: Rlimit; nofile: Rlimit };
  /** Whether the process has a capability: has("SYS_RAWIO"). */
  has(capability: string): boolean;
  /** Gives up a capability for good, as capset(2) can. */
  drop(capability: string): void;
  fileOf(fd: number): OpenFile | undefined;
  /** Gives an open file a descriptor, which takes over the caller's reference; -EMFILE puts the reference. */
  install(file: OpenFile): number;
  /** A child with the same open files, limits and capabilities and a copy of the address space. */
  fork(): ModelProcess;
}

export class OpenFile {
  readonly ops: FileOps;
  /** O_* flags of the open call. */
  readonly flags: number;
  /** What was opened; null for a file without a place in the file system. */
  readonly path: string | null;
  /** Position of sequential access, for drivers that have one. */
  position = 0;
  #refs = 1;

  /** The creator owns the first reference. */
  constructor(ops: FileOps, flags = 0, path: string | null = null) {
    this.ops = ops;
    this.flags = flags;
    this.path = path;
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
