// The frame of the modelled kernel: device nodes, attribute files, physical memory, time and processes.
// It knows no driver; model packages register theirs (registerNode, sysfs) and processes reach them through Host.

import { O_ACCMODE, O_RDONLY, O_WRONLY } from "../constants.ts";
import { EACCES, ENOENT } from "../errno.ts";
import { MinivmmError } from "../error.ts";
import { type Arch, type IoctlNumbers, ioctlNumbers } from "../ioctl.ts";
import { type Clock, realClock } from "./clock.ts";
import type { FileOps } from "./file.ts";
import { PhysicalMemory } from "./physical.ts";
import { ModelProcess, type SpawnOptions } from "./process.ts";
import { SysFs } from "./sysfs.ts";
import { openAttribute } from "./sysfs-file.ts";

/** Which kernel's rules apply where they changed. */
export type KernelProfile = "6.12" | "6.1" | "4.12" | "3.11";

export interface ModelKernelOptions {
  /** Default "x86_64". */
  arch?: Arch;
  /** Base page size in bytes. Default 4096 on x86_64, 65536 on ppc64le. */
  pageSize?: number;
  /** Default "6.12". */
  profile?: KernelProfile;
  /** Default: wall time. */
  clock?: Clock;
}

/** Opens a device node: operations for the new open file, or -errno. May throw KernelError. */
export type OpenNode = (process: ModelProcess, flags: number) => FileOps | number;

interface DeviceNode {
  open: OpenNode;
  mode: number;
}

export class ModelKernel {
  readonly arch: Arch;
  readonly pageSize: number;
  readonly profile: KernelProfile;
  readonly ioctls: IoctlNumbers;
  readonly physical: PhysicalMemory = new PhysicalMemory();
  readonly clock: Clock;
  readonly sysfs: SysFs = new SysFs();
  /** Kernel messages, oldest first. */
  readonly log: string[] = [];
  readonly #nodes = new Map<string, DeviceNode>();

  constructor(options: ModelKernelOptions = {}) {
    this.arch = options.arch ?? "x86_64";
    this.pageSize = options.pageSize ?? (this.arch === "ppc64le" ? 65536 : 4096);
    this.profile = options.profile ?? "6.12";
    this.clock = options.clock ?? realClock;
    this.ioctls = ioctlNumbers(this.arch);
  }

  /** Adds a character device at an absolute path. `mode` are permission bits, default 0600. */
  registerNode(path: string, open: OpenNode, mode = 0o600): { remove(): void } {
    if (this.#nodes.has(path)) {
      throw new MinivmmError(`the device node ${path} is registered already`, {
        code: "NODE_EXISTS",
        details: { path },
      });
    }
    const node = { open, mode };
    this.#nodes.set(path, node);
    return {
      remove: () => {
        if (this.#nodes.get(path) === node) this.#nodes.delete(path);
      },
    };
  }

  hasNode(path: string): boolean {
    return this.#nodes.has(path);
  }

  /** Names of the nodes right below a directory, such as "/dev/vfio", unsorted. */
  nodesIn(directory: string): string[] {
    const prefix = directory.endsWith("/") ? directory : `${directory}/`;
    const names = [...this.#nodes.keys()].filter((p) => p.startsWith(prefix)).map((p) => p.slice(prefix.length));
    return [...new Set(names.map((name) => name.split("/")[0] as string))];
  }

  /** Path lookup of open(2): operations for the file, or -errno. */
  openPath(process: ModelProcess, path: string, flags: number): FileOps | number {
    const node = this.#nodes.get(path);
    if (node) {
      const access = flags & O_ACCMODE;
      const needed = (access === O_WRONLY ? 0 : 4) | (access === O_RDONLY ? 0 : 2);
      if (!process.root && (node.mode & needed) !== needed) return -EACCES;
      return node.open(process, flags);
    }
    const attribute = this.sysfs.attribute(path);
    if (typeof attribute !== "number") return openAttribute(attribute, flags);
    return path === "" ? -ENOENT : attribute;
  }

  /** A new process. */
  spawn(options: SpawnOptions = {}): ModelProcess {
    return new ModelProcess(this, options);
  }
}
