// The kernel's side of KVM, for modelled hosts.
export { KVM_USER_MEM_SLOTS } from "./capabilities.ts";
export type { AttributeCall, CapabilityEnabler, KvmDeviceOps, KvmDeviceType, KvmFrame, Vm, VmIoctl } from "./frame.ts";
export { IoEventFds } from "./ioeventfd.ts";
export { type InterruptSink, IrqFds } from "./irqfd.ts";
export { ModelKvm } from "./kvm.ts";
export { MemorySlots, type Slot } from "./slots.ts";
export { ModelVm } from "./vm.ts";
