// What the host's KVM will do with TCE tables: asked of a VM that is made for the question and closed.
// Source: Documentation/virt/kvm/api.rst, KVM_CAP_SPAPR_TCE and KVM_CAP_SPAPR_TCE_VFIO.
import { type Host, MinivmmError } from "@minivmm/host";
import { KvmSpaprTce } from "@minivmm/spapr-iommu";
import { openPowerKvm } from "../accel/kvm-open.ts";

/** Which tables KVM keeps and links; a text, why there is no KVM for this machine. */
export function kvmTceFacts(host: Host): { readonly tables: boolean; readonly links: boolean } | string {
  try {
    using system = openPowerKvm(host);
    const vm = system.createVm();
    try {
      return { tables: KvmSpaprTce.isAvailable(vm, "emulated"), links: KvmSpaprTce.isAvailable(vm, "vfio") };
    } finally {
      vm.close();
    }
  } catch (error) {
    if (error instanceof MinivmmError) return error.message;
    throw error;
  }
}
