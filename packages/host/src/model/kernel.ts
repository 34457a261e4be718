// The frame of the modelled kernel: device nodes, attribute files, physical memory, time and processes.
// It knows no driver: model packages register theirs (registerNode, sysfs), and processes reach them through Host.
// KernelFrame describes the members.

import { O_ACCMODE, O_RDONLY, O_WRONLY } from "../constants.ts";
import { EACCES, ENOENT } from "../errno.ts";
import { MinivmmError } from "../error.ts";
import { type Arch, type IoctlNumbers, ioctlNumbers } from "../ioctl.ts";
import { type Clock, realClock } from "./clock.ts";
import type { DeviceNode, FileOps, KernelFrame, KernelProfile, ModelProcess, OpenNode, SpawnOptions } from "./file.ts";
import { PhysicalMemory } from "./physical.ts";
import { Process } from "./process.ts";
import { ProcessTable } from "./process-table.ts";
import { SysFs } from "./sysfs.ts";
import { openAttribute } from "./sysfs-file.ts";

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

export class ModelKernel implements KernelFrame {
  readonly arch: Arch;
  readonly pageSize: number;
  readonly profile: KernelProfile;
  readonly ioctls: IoctlNumbers;
  readonly physical: PhysicalMemory = new PhysicalMemory();
  readonly clock: Clock;
  readonly sysfs: SysFs = new SysFs();
  readonly log: string[] = [];
  readonly nodes: Map<string, DeviceNode> = new Map();
  readonly processes: ProcessTable<ModelProcess> = new ProcessTable();

  constructor(options: ModelKernelOptions = {}) {
    this.arch = options.arch ?? "x86_64";
    this.pageSize = options.pageSize ?? (this.arch === "ppc64le" ? 65536 : 4096);
    this.profile = options.profile ?? "6.12";
    this.clock = options.clock ?? realClock;
    this.ioctls = ioctlNumbers(this.arch);
  }

  registerNode(path: string, open: OpenNode, mode = 0o600): { remove(): void } {
    if (this.nodes.has(path)) {
      throw new MinivmmError(`the device node ${path} is registered already`, {
        code: "NODE_EXISTS",
        details: { path },
      });
    }
    const node = { open, mode };
    this.nodes.set(path, node);
    return {
      remove: () => {
        if (this.nodes.get(path) === node) this.nodes.delete(path);
      },
    };
  }

  nodesIn(directory: string): string[] {
    const prefix = directory.endsWith("/") ? directory : `${directory}/`;
    const names = [...this.nodes.keys()].filter((p) => p.startsWith(prefix)).map((p) => p.slice(prefix.length));
    return [...new Set(names.map((name) => name.split("/")[0] as string))];
  }

  openPath(process: ModelProcess, path: string, flags: number): FileOps | number {
    const node = this.nodes.get(path);
    if (node) {
      const access = flags & O_ACCMODE;
      const needed = (access === O_WRONLY ? 0 : 4) | (access === O_RDONLY ? 0 : 2);
      if (!process.root && (permissionsOf(node, process) & needed) !== needed) return -EACCES;
      return node.open(process, flags);
    }
    const attribute = this.sysfs.attribute(path);
    if (typeof attribute !== "number") return openAttribute(attribute, flags);
    return path === "" ? -ENOENT : attribute;
  }

  spawn(options: SpawnOptions = {}): ModelProcess {
    return new Process(this, options);
  }
}

/** The three bits that count for a process: the owner's, the group's or everybody's. Source: acl_permission_check. */
function permissionsOf({ mode, uid = 0, gid = 0 }: DeviceNode, process: ModelProcess): number {
  if (process.uid === uid) return (mode >> 6) & 7;
  return (process.gid === gid ? mode >> 3 : mode) & 7;
}
