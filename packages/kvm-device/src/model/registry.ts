// How the device holds what is registered: today a reference on a file, until Linux 5.17 the user of a group.
// Source: virt/kvm/vfio.c of 6.12 and 4.12.
// Invariants: find, add and remove agree on what is "the same": a dup()ed descriptor is the same file, and in the old
// generation any descriptor of the group is the same group.

import { EINVAL } from "@minivmm/host";
import type { ModelKernel, OpenFile } from "@minivmm/host/model";
import { KernelError } from "@minivmm/host/model";
import type { IommuGroup } from "@minivmm/pci";
import { VFIO_DMA_CC_IOMMU } from "@minivmm/vfio-core";
import {
  type KvmReference,
  type VfioGroup,
  vfioExternalCheckExtension,
  vfioExternalGroupMatchFile,
  vfioFileEnforcedCoherent,
  vfioFileIommuGroup,
  vfioFileIsValid,
  vfioFileSetKvm,
  vfioGroupGetExternalUser,
  vfioGroupPutExternalUser,
  vfioGroupSetKvm,
} from "@minivmm/vfio-core/model";

/** Something that is registered. */
export interface Registered {
  matches(file: OpenFile): boolean;
  /** Whether all its DMA snoops the caches. */
  readonly coherent: boolean;
  readonly iommuGroup: IommuGroup | null;
  /**
   * Whether TCE tables are looked for when it goes. Since Linux 5.18 only where SET_SPAPR_TCE has been called for it;
   * deleting it without is told in the kernel's log.
   */
  linked: boolean;
  setKvm(vm: KvmReference | null): void;
  /** Lets go of the reference. */
  put(): void;
}

/** Takes a reference on what the file stands for. Throws KernelError. */
export type Register = (file: OpenFile) => Registered;

const registerFile: Register = (file) => {
  if (!vfioFileIsValid(file)) throw new KernelError(EINVAL, `a ${file.ops.kind} file is not a VFIO file`);
  file.get();
  return {
    matches: (other) => other === file,
    get coherent() {
      return vfioFileEnforcedCoherent(file);
    },
    get iommuGroup() {
      return vfioFileIommuGroup(file);
    },
    linked: false,
    setKvm: (vm) => vfioFileSetKvm(file, vm),
    put: () => file.put(),
  };
};

const registerGroup: Register = (file) => {
  const group: VfioGroup = vfioGroupGetExternalUser(file);
  return {
    matches: (other) => vfioExternalGroupMatchFile(group, other),
    get coherent() {
      return vfioExternalCheckExtension(group, VFIO_DMA_CC_IOMMU) > 0;
    },
    iommuGroup: group.iommuGroup,
    linked: true,
    setKvm: (vm) => vfioGroupSetKvm(group, vm),
    put: () => vfioGroupPutExternalUser(group),
  };
};

/** Kernels whose KVM is an external user of groups, and whose device lives until its VM ends. */
export function isHistorical(kernel: ModelKernel): boolean {
  return kernel.profile === "4.12" || kernel.profile === "3.11";
}

export function registerFor(kernel: ModelKernel): Register {
  return isHistorical(kernel) ? registerGroup : registerFile;
}
