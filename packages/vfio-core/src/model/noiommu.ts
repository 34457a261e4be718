/**
 * VFIO without an IOMMU: a function that has no IOMMU group gets one of its own, and DMA that nothing translates.
 *
 * Only while the module parameter enable_unsafe_noiommu_mode is on, and at the price of a tainted kernel. Such a group
 * opens for CAP_SYS_RAWIO only, and its container takes nothing but type 8, which maps nothing.
 * Source: vfio_noiommu_group_alloc (drivers/vfio/group.c), vfio_noiommu_ops (container.c).
 */
import { EINVAL, ENOTTY, EPERM } from "@minivmm/host";
import { KernelError, type ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { type IommuDomain, IommuGroup, type PciFunction, type PciTopology } from "@minivmm/pci";
import { VFIO_NOIOMMU_IOMMU } from "../uapi.ts";
import { boolParameter } from "./bool-parameter.ts";
import type { IommuContainer, IommuDriver, IommuInstance } from "./iommu-driver.ts";
import { BusPeers } from "./type1/peers.ts";

const GROUPS = "/sys/kernel/iommu_groups";
const TAINT_USER = 1 << 6;

export class Noiommu implements IommuDriver {
  readonly name = "vfio-noiommu";
  readonly allowsNoiommu = true;
  /** Module parameter. */
  enabled: boolean;
  readonly #kernel: ModelKernel;
  readonly #topology: PciTopology;
  readonly #domain: IommuDomain;
  readonly #groups = new Map<PciFunction, IommuGroup>();
  #tainted = 0;

  constructor(kernel: ModelKernel, topology: PciTopology, enabled: boolean) {
    this.#kernel = kernel;
    this.#topology = topology;
    this.enabled = enabled;
    this.#domain = untranslated(kernel, topology);
    boolParameter(
      kernel.sysfs,
      "vfio/enable_unsafe_noiommu_mode",
      () => this.enabled,
      (value) => {
        this.enabled = value;
      },
    );
    kernel.sysfs.file("/proc/sys/kernel/tainted", { read: () => `${this.#tainted}\n` });
  }

  checkExtension(ext: number): number {
    return this.enabled && ext === VFIO_NOIOMMU_IOMMU ? 1 : 0;
  }

  open(type: number, _container: IommuContainer, process: ModelProcess): IommuInstance {
    if (type !== VFIO_NOIOMMU_IOMMU) throw new KernelError(EINVAL, `${type} is no type without an IOMMU`);
    if (!process.has("SYS_RAWIO")) throw new KernelError(EPERM);
    return {
      attachGroup: () => undefined,
      detachGroup: () => undefined,
      ioctl: () => -ENOTTY,
      checkExtension: (ext) => this.checkExtension(ext),
      release: () => undefined,
    };
  }

  /** vfio-pci binds a function: one without a group gets one, and the kernel is tainted, unless the parameter is off. */
  adopt(fn: PciFunction): void {
    if (fn.group || !this.enabled) return;
    const group = new IommuGroup(this.#freeId(), "vfio-noiommu");
    group.functions.push(fn);
    group.domain = this.#domain;
    fn.group = group;
    this.#groups.set(fn, group);
    const { sysfs, log } = this.#kernel;
    sysfs.file(`${GROUPS}/${group.id}/name`, { read: () => `${group.name}\n` });
    sysfs.link(`${GROUPS}/${group.id}/devices/${fn.name}`, `/sys/bus/pci/devices/${fn.name}`);
    sysfs.link(`/sys/bus/pci/devices/${fn.name}/iommu_group`, `${GROUPS}/${group.id}`);
    this.#tainted |= TAINT_USER;
    log.push(`vfio-pci ${fn.name}: Adding kernel taint for vfio-noiommu group on device`);
  }

  owns(group: IommuGroup): boolean {
    return [...this.#groups.values()].includes(group);
  }

  /** The function is unbound: its group goes, if it came from here. */
  abandon(fn: PciFunction): void {
    const group = this.#groups.get(fn);
    if (!group) return;
    this.#groups.delete(fn);
    group.domain = null;
    fn.group = null;
    this.#kernel.sysfs.remove(`${GROUPS}/${group.id}`);
    this.#kernel.sysfs.remove(`/sys/bus/pci/devices/${fn.name}/iommu_group`);
  }

  #freeId(): number {
    const taken = new Set([...this.#topology.groups, ...this.#groups.values()].map(({ id }) => id));
    let id = 0;
    while (taken.has(id)) id++;
    return id;
  }
}

/** Bus addresses are host physical ones, of memory or of another function's BAR. */
function untranslated({ physical }: ModelKernel, topology: PciTopology): IommuDomain {
  const peers = new BusPeers(topology);
  return {
    name: "none",
    read: (hi, lo, into) => physical.read(hi * 2 ** 32 + lo, into) || peers.read(hi * 2 ** 32 + lo, into),
    write: (hi, lo, from) => physical.write(hi * 2 ** 32 + lo, from) || peers.write(hi * 2 ** 32 + lo, from),
  };
}
