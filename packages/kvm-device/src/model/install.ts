// Adds the device type KVM_DEV_TYPE_VFIO to a modelled KVM.
// Invariant: one device for each VM. Today it goes with its descriptor and a new one may be made; in kernels before 6.2
// closing the descriptor changes nothing and the device goes with the VM.

import { EBUSY } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import { KVM_DEV_TYPE_VFIO } from "@minivmm/kvm";
import type { KvmDeviceOps, ModelKvm, Vm } from "@minivmm/kvm/model";
import { KvmVfio, type SpaprTceLink } from "./device.ts";
import { isHistorical, registerFor } from "./registry.ts";

export interface KvmVfioOptions {
  /** Absent on machines without the sPAPR TCE IOMMU: SET_SPAPR_TCE is then ENXIO. */
  spaprTce?: SpaprTceLink;
}

/** Returns a look-up of the live device of a VM. */
export function installKvmVfio(kvm: ModelKvm, options: KvmVfioOptions = {}): (vm: Vm) => KvmVfio | undefined {
  const devices = new Map<Vm, KvmVfio>();
  const register = registerFor(kvm.kernel);
  const untilVmEnds = isHistorical(kvm.kernel);
  kvm.deviceTypes.set(KVM_DEV_TYPE_VFIO, (vm) => {
    if (devices.has(vm)) throw new KernelError(EBUSY, "the VM has a VFIO device");
    const device = new KvmVfio(vm, register, options.spaprTce ?? null, () => devices.delete(vm));
    devices.set(vm, device);
    if (!untilVmEnds) return device;
    vm.onRelease(() => device.release());
    return lastingAsItsVm(device);
  });
  return (vm) => devices.get(vm);
}

function lastingAsItsVm(device: KvmVfio): KvmDeviceOps {
  return {
    kind: device.kind,
    has: (call) => device.has(call),
    set: (call) => device.set(call),
    release: () => undefined,
    discard: () => device.release(),
  };
}
