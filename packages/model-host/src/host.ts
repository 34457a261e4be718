// The whole modelled host: kernel, PCI hardware, VFIO, KVM and the IOMMU, composed from a description.
// Invariants: everything that is opened for the host (disk images) is closed with it; a failure while composing closes
// what was opened before. Processes that have not ended by themselves end with the host.
import { type Clock, type FileOps, ModelKernel, type ModelProcess, type SpawnOptions } from "@minivmm/host/model";
import { installPowerKvm, ModelKvm } from "@minivmm/kvm/model";
import { installKvmVfio } from "@minivmm/kvm-device/model";
import { PciTopology } from "@minivmm/pci";
import { type Disk, fileDisk, memoryDisk } from "@minivmm/pci/devices";
import { registerHotReset } from "@minivmm/pci-hotreset/model";
import { installKvmSpaprTce, type ModelKvmSpaprTce, type SpaprTceIommu } from "@minivmm/spapr-iommu/model";
import { VfioCore } from "@minivmm/vfio-core/model";
import { readyMade } from "./catalog/index.ts";
import { checkDescription, type HostDescription } from "./description.ts";
import { deviceSet } from "./devices.ts";
import { ModelHostError } from "./error.ts";
import { Faults } from "./faults/index.ts";
import { installIommu, vfioBuild } from "./iommu.ts";
import { powerEngine } from "./power-engine.ts";
import { publishPci } from "./sysfs.ts";
import { topologyOf } from "./topology.ts";
import { type Variation, vary } from "./variation.ts";

export interface ModelHostOptions extends Variation {
  /** Behind the disk that a ready-made host gives to guests: a live disk, an image file, or bytes used in place. */
  disk?: Disk | string | Uint8Array;
  /** RLIMIT_MEMLOCK of processes, bytes. */
  memlock?: number;
  /** Kernel whose rules apply. */
  profile?: "6.12" | "6.1" | "4.12" | "3.11";
  /** Base page size, bytes. */
  pageSize?: 4096 | 65536;
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

/** /dev/null: nothing comes out, everything goes in. */
const NULL_DEVICE: FileOps = {
  kind: "null",
  read: () => 0,
  write: (from) => from.length,
  pread: () => 0,
  pwrite: (from) => from.length,
};
const ANY_DEVICE = { vendor: 0xffff_ffff, device: 0xffff_ffff };

export class ModelledHost implements Disposable {
  readonly description: HostDescription;
  readonly kernel: ModelKernel;
  readonly topology: PciTopology;
  readonly vfio: VfioCore;
  readonly kvm: ModelKvm;
  /** Null on hosts without the sPAPR IOMMU. */
  readonly iommu: SpaprTceIommu | null;
  /** TCE tables in KVM; null but on POWER. */
  readonly kvmTce: ModelKvmSpaprTce | null;
  /** What can go wrong, on request. */
  readonly faults: Faults;
  readonly #disks: Disk[];
  readonly #processes = new Set<ModelProcess>();

  constructor(description: HostDescription, options: ModelHostOptions = {}, given: GivenDisk | null = null) {
    this.description = description;
    const { arch } = description;
    const pageSize = options.pageSize ?? description.pageSize;
    const profile = options.profile ?? description.profile ?? "6.12";
    const { clock } = options;
    this.kernel = new ModelKernel({ arch, profile, ...(pageSize && { pageSize }), ...(clock && { clock }) });
    this.kernel.registerNode("/dev/null", () => NULL_DEVICE, 0o666);
    const devices = deviceSet(this.kernel, given?.disk ?? null);
    this.#disks = devices.disks;
    if (given?.owned) this.#disks.push(given.disk);
    try {
      const topology = topologyOf(description, { pageSize: this.kernel.pageSize, givenAt: given?.at ?? null, profile });
      this.topology = PciTopology.fromDescription(topology, { models: devices.models });
      publishPci(this.kernel, this.topology);
      const nointxmask = description.vfioPci?.nointxmask ?? false;
      this.vfio = new VfioCore(this.kernel, this.topology, { nointxmask, ...vfioBuild(description, this.topology) });
      registerHotReset(this.vfio);
      this.kvm = new ModelKvm(this.kernel);
      for (const { name, class: classCode } of description.drivers ?? []) {
        this.vfio.drivers.registerDriver(name, [{ ...ANY_DEVICE, class: classCode, classMask: 0xffffff }]);
      }
      this.iommu = installIommu(this.vfio, description);
      // On real kernels radix guests, the only ones here, are virtual mode's; here they have the stage in front too.
      const { realMode = profile === "4.12" } = description;
      this.kvmTce = arch === "ppc64le" ? installKvmSpaprTce(this.kvm, { iommu: this.iommu, realMode }) : null;
      installKvmVfio(this.kvm, this.kvmTce?.link ? { spaprTce: this.kvmTce.link } : {});
      // With the hypercalls of the other parts in KVM's table already.
      if (arch === "ppc64le" && (description.cpu ?? "power9") === "power9") installPowerKvm(this.kvm, powerEngine);
      this.faults = new Faults(this.topology, this.vfio, this.iommu);
    } catch (error) {
      this.#closeDisks();
      throw error;
    }
  }

  /** A process on this host, with the description's memlock limit and no capabilities unless said. */
  spawn(options: SpawnOptions = {}): ModelProcess {
    const memlock = this.description.memlock;
    const process = this.kernel.spawn({ ...(memlock === undefined ? {} : { memlock }), ...options });
    this.#processes.add(process);
    return process;
  }

  /** Ends the processes that have not ended, then the devices, and closes the disks. */
  close(): void {
    for (const process of this.#processes) process.exit();
    this.#processes.clear();
    this.topology.close();
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
  vary(description, options);
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
