// One recorded case on the modelled host: the machine it ran on, its process (and a second one), and names of descriptors.
import type { Mapping } from "@minivmm/host";
import { ManualClock, type ModelProcess } from "@minivmm/host/model";
import { type ModelledHost, modelHost } from "../../src/index.ts";
import type { Recording, Step } from "./recording.ts";

/** Functions that recordings call dev0, dev1, ... */
const DEVICES: Readonly<Record<string, readonly string[]>> = {
  powernv9: ["0000:01:00.0", "0001:01:00.0", "0002:01:00.0", "0003:02:01.0", "0003:02:02.0", "0003:02:03.0"],
  "pseries-l1": ["0000:00:00.0", "0001:00:00.0", "0002:00:00.0", "0003:00:00.0", "0003:00:01.0", "0003:00:02.0"],
};

export interface DmaTarget {
  readonly iova: bigint;
  readonly size: bigint;
  readonly vaddr: bigint;
}

export class Rig {
  readonly host: ModelledHost;
  readonly clock = new ManualClock();
  readonly parent: ModelProcess;
  readonly pageSize: number;
  readonly groups: readonly number[];
  readonly devices: readonly string[];
  readonly fds = new Map<string, number>();
  /** Successful mappings, latest last; kept after an unmap, to know which memory a transfer was meant for. */
  readonly mappings: DmaTarget[] = [];
  /** Descriptor of the device whose DMA is driven. */
  edu = -1;
  /** The device has read something in this case. */
  bufferKnown = false;
  /** The TCE table that was looked into first, as mapped then. */
  table: Mapping | number | undefined;
  /** User address of the list of TCEs that was written last. */
  lastList = 0n;
  #child: ModelProcess | null = null;

  constructor(recording: Recording, steps: readonly Step[]) {
    const name = recording.file.startsWith("ps-") ? "pseries-l1" : "powernv9";
    this.host = modelHost(name, { pageSize: recording.pageSize as 4096 | 65536, clock: this.clock });
    this.devices = DEVICES[name] as readonly string[];
    this.groups = recording.groups;
    this.pageSize = recording.pageSize;
    // The recorder was root; where it drops the capability it does so before anything is charged.
    const drops = steps.some((step) => step.call === "drop_CAP_IPC_LOCK");
    this.parent = this.host.spawn({ capabilities: drops ? ["SYS_RESOURCE"] : ["IPC_LOCK", "SYS_RESOURCE"] });
  }

  /** The process of a step. A child has the parent's open files under the same numbers, and memory of its own. */
  process(step: Step): ModelProcess {
    if (!step.case.endsWith("#child")) {
      this.#child?.exit();
      this.#child = null;
      return this.parent;
    }
    if (!this.#child) {
      this.#child = this.host.spawn({ capabilities: ["IPC_LOCK"] });
      for (const [name, fd] of this.fds) {
        const file = this.parent.fileOf(fd);
        if (file) this.fds.set(`${name}#child`, this.#child.install(file.get()));
      }
    }
    return this.#child;
  }

  fd(step: Step, name: string | number | undefined): number {
    const wanted = String(name ?? "c0");
    const own = step.case.endsWith("#child") ? `${wanted}#child` : wanted;
    return this.fds.get(own) ?? -1;
  }

  /** "dev2", "d2" or "2": its address. */
  bdf(name: string | number): string {
    return this.devices[Number(String(name).replace(/^\D+/, ""))] as string;
  }

  target(iova: bigint): bigint | null {
    const found = this.mappings.findLast((each) => iova >= each.iova && iova < each.iova + each.size);
    return found ? found.vaddr + (iova - found.iova) : null;
  }
}
