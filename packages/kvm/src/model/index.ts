// The kernel's side of KVM, for modelled hosts.
export { KVM_USER_MEM_SLOTS } from "./capabilities.ts";
export type { AttributeCall, KvmDeviceOps, KvmDeviceType } from "./device.ts";
export { IoEventFds } from "./ioeventfd.ts";
export { type InterruptSink, IrqFds } from "./irqfd.ts";
export { type CapabilityEnabler, ModelKvm, type VmIoctl } from "./kvm.ts";
export { MemorySlots, type Slot } from "./slots.ts";
export { ModelVm } from "./vm.ts";
