// The KVM-VFIO device of one VM: attributes, the list of registered files, coherency.
// Source: virt/kvm/vfio.c. Coherency is looked at when the list changes (even by a DEL that finds nothing), never
// in between: a group added before SET_IOMMU keeps its first answer until the next change.
// Invariants: one reference and one count of assigned devices for each entry; all of it undone at release.

import { EBADF, EEXIST, EFAULT, EIO, ENOENT, ENXIO } from "@minivmm/host";
import type { ModelProcess, OpenFile } from "@minivmm/host/model";
import type { AttributeCall, KvmDeviceOps, Vm } from "@minivmm/kvm/model";
import type { IommuGroup } from "@minivmm/pci";
import {
  KVM_DEV_VFIO_GROUP,
  KVM_DEV_VFIO_GROUP_ADD,
  KVM_DEV_VFIO_GROUP_DEL,
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
  kvm_vfio_file,
  kvm_vfio_spapr_tce,
} from "../uapi.ts";
import type { Register, Registered } from "./registry.ts";

/** What the sPAPR TCE code adds to the device: linking guest tables to hardware tables. */
export interface SpaprTceLink {
  /** kvm_spapr_tce_attach_iommu_group: 0 or -errno. */
  attach(vm: Vm, process: ModelProcess, tableFd: number, group: IommuGroup): number;
  /** kvm_spapr_tce_release_iommu_group. */
  release(vm: Vm, group: IommuGroup): void;
}

export class KvmVfio implements KvmDeviceOps {
  readonly kind = "kvm-vfio";
  readonly #vm: Vm;
  readonly #register: Register;
  readonly #spaprTce: SpaprTceLink | null;
  readonly #entries: Registered[] = [];
  #noncoherent = false;
  readonly #onRelease: () => void;

  constructor(vm: Vm, register: Register, spaprTce: SpaprTceLink | null, onRelease: () => void) {
    this.#vm = vm;
    this.#register = register;
    this.#spaprTce = spaprTce;
    this.#onRelease = onRelease;
  }

  /** Registered files (or groups). */
  get size(): number {
    return this.#entries.length;
  }

  has({ group, attr }: AttributeCall): number {
    if (group !== KVM_DEV_VFIO_GROUP) return -ENXIO;
    if (attr === KVM_DEV_VFIO_GROUP_ADD || attr === KVM_DEV_VFIO_GROUP_DEL) return 0;
    return attr === KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE && this.#spaprTce ? 0 : -ENXIO;
  }

  set(call: AttributeCall): number {
    if (this.has(call) < 0) return -ENXIO;
    if (call.attr === KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE) return this.#setSpaprTce(call);
    const value = call.process.mm.resolve(call.address, kvm_vfio_file.size);
    if (!value) return -EFAULT;
    const file = call.process.fileOf(kvm_vfio_file.decode(value).fd);
    if (!file) return -EBADF;
    return call.attr === KVM_DEV_VFIO_GROUP_ADD ? this.#add(file) : this.#remove(file);
  }

  #add(file: OpenFile): number {
    const entry = this.#register(file);
    if (this.#find(file)) {
      entry.put();
      return -EEXIST;
    }
    this.#entries.push(entry);
    this.#vm.assignedDeviceCount++;
    entry.setKvm(this.#vm.file);
    this.#updateCoherency();
    return 0;
  }

  #remove(file: OpenFile): number {
    const entry = this.#find(file);
    if (entry) {
      this.#entries.splice(this.#entries.indexOf(entry), 1);
      this.#letGo(entry);
    }
    this.#updateCoherency();
    return entry ? 0 : -ENOENT;
  }

  #letGo(entry: Registered): void {
    this.#vm.assignedDeviceCount--;
    if (this.#spaprTce) this.#unlink(entry, this.#spaprTce);
    entry.setKvm(null);
    entry.put();
  }

  #unlink(entry: Registered, tables: SpaprTceLink): void {
    if (entry.linked && entry.iommuGroup) tables.release(this.#vm, entry.iommuGroup);
    else this.#vm.process.kernel.log.push("WARNING: KVM-VFIO: a group goes that no TCE table was linked to");
  }

  #setSpaprTce({ process, address }: AttributeCall): number {
    const value = process.mm.resolve(address, kvm_vfio_spapr_tce.size);
    if (!value) return -EFAULT;
    const { groupfd, tablefd } = kvm_vfio_spapr_tce.decode(value);
    const file = process.fileOf(groupfd);
    if (!file) return -EBADF;
    const entry = this.#find(file);
    if (!entry) return -ENOENT;
    if (!entry.iommuGroup) return -EIO;
    entry.linked = true;
    return this.#spaprTce?.attach(this.#vm, process, tablefd, entry.iommuGroup) ?? -ENXIO;
  }

  #find(file: OpenFile): Registered | undefined {
    return this.#entries.find((entry) => entry.matches(file));
  }

  #updateCoherency(): void {
    const noncoherent = this.#entries.some((entry) => !entry.coherent);
    if (noncoherent === this.#noncoherent) return;
    this.#noncoherent = noncoherent;
    this.#vm.noncoherentDmaCount += noncoherent ? 1 : -1;
  }

  release(): void {
    for (const entry of this.#entries.splice(0)) this.#letGo(entry);
    this.#updateCoherency();
    this.#onRelease();
  }
}
