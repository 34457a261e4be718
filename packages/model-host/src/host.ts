// The whole modelled host: kernel, PCI hardware, VFIO, KVM and the IOMMU, composed from a description.
// Invariants: everything that is opened for the host (disk images) is closed with it; a failure while composing closes
// what was opened before. Processes are the users' and end by themselves.
import { type Clock, ModelKernel, type ModelProcess, type SpawnOptions } from "@minivmm/host/model";
import { ModelKvm } from "@minivmm/kvm/model";
import { installKvmVfio } from "@minivmm/kvm-device/model";
import { PciTopology } from "@minivmm/pci";
import { type Disk, fileDisk, memoryDisk } from "@minivmm/pci/devices";
import { VfioCore } from "@minivmm/vfio-core/model";
import { readyMade } from "./catalog/index.ts";
import { checkDescription, type HostDescription } from "./description.ts";
import { deviceSet } from "./devices.ts";
import { ModelHostError } from "./error.ts";
import { installIommu } from "./iommu.ts";
import { publishPci } from "./sysfs.ts";
import { topologyOf } from "./topology.ts";

export interface ModelHostOptions {
  /** Behind the disk that a ready-made host gives to guests: a live disk, an image file, or bytes used in place. */
  disk?: Disk | string | Uint8Array;
  /** RLIMIT_MEMLOCK of processes, bytes. */
  memlock?: number;
  /** Kernel whose rules apply. */
  profile?: "6.12" | "6.1" | "4.12" | "3.11";
  /** Default: wall time. */
  clock?: Clock;
}

/** A live disk in place of the one that the function at `at` is described with. */
export interface GivenDisk {
  readonly at: string;
  readonly disk: Disk;
  /** Whether the host closes it. */
  readonly owned: boolean;
}

export class ModelledHost implements Disposable {
  readonly description: HostDescription;
  readonly kernel: ModelKernel;
  readonly topology: PciTopology;
  readonly vfio: VfioCore;
  readonly kvm: ModelKvm;
  readonly #disks: Disk[];

  constructor(description: HostDescription, options: ModelHostOptions = {}, given: GivenDisk | null = null) {
    this.description = description;
    const { arch, pageSize } = description;
    const profile = options.profile ?? description.profile ?? "6.12";
    const { clock } = options;
    this.kernel = new ModelKernel({ arch, profile, ...(pageSize && { pageSize }), ...(clock && { clock }) });
    const devices = deviceSet(this.kernel, given?.disk ?? null);
    this.#disks = devices.disks;
    if (given?.owned) this.#disks.push(given.disk);
    try {
      const topology = topologyOf(description, this.kernel.pageSize, given?.at ?? null);
      this.topology = PciTopology.fromDescription(topology, { models: devices.models });
      publishPci(this.kernel, this.topology);
      this.vfio = new VfioCore(this.kernel, this.topology);
      this.kvm = new ModelKvm(this.kernel);
      installKvmVfio(this.kvm);
      installIommu(this.vfio, description);
    } catch (error) {
      this.#closeDisks();
      throw error;
    }
  }

  /** A process on this host, with the description's memlock limit and no capabilities unless said. */
  spawn(options: SpawnOptions = {}): ModelProcess {
    const memlock = this.description.memlock;
    return this.kernel.spawn({ ...(memlock === undefined ? {} : { memlock }), ...options });
  }

  /** Closes the disks. Processes must have ended. */
  close(): void {
    this.#closeDisks();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #closeDisks(): void {
    for (const disk of this.#disks.splice(0)) disk.close();
  }
}

/**
 * A host by name or from a description. Throws ModelHostError (MODEL_UNKNOWN, MODEL_DESCRIPTION, MODEL_DISK,
 * MODEL_OPTION) or PciError for hardware that contradicts itself.
 */
export function modelHost(which: string | HostDescription, options: ModelHostOptions = {}): ModelledHost {
  const ready = typeof which === "string" ? readyMade(which) : null;
  const description = checkDescription(ready ? structuredClone(ready.description) : which);
  if (options.memlock !== undefined) description.memlock = options.memlock;
  if (options.disk === undefined) return new ModelledHost(description, options, null);
  if (!ready?.disk) {
    throw new ModelHostError(`the host "${description.name}" has no disk for guests that could be replaced`, {
      code: "MODEL_OPTION",
      details: { name: description.name },
      hint: "Name the disk in the description of a device: options: { disk: { kind: file, path } }.",
    });
  }
  const { disk } = options;
  const owned = typeof disk === "string" || disk instanceof Uint8Array;
  const given = typeof disk === "string" ? fileDisk(disk) : disk instanceof Uint8Array ? memoryDisk(disk) : disk;
  return new ModelledHost(description, options, { at: ready.disk, disk: given, owned });
}
