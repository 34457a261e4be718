// The kernel's side of KVM, for modelled hosts.
export { KVM_USER_MEM_SLOTS } from "./capabilities.ts";
export type {
  AttributeCall,
  CapabilityEnabler,
  Hypercall,
  HypercallHandler,
  HypercallTable,
  KvmDeviceOps,
  KvmDeviceType,
  KvmFrame,
  Vm,
  VmIoctl,
} from "./frame.ts";
export { H_TOO_HARD, Hypercalls, MAX_HCALL_OPCODE } from "./hypercalls.ts";
export type { InterruptSink } from "./interrupts.ts";
export { IoEventFds } from "./ioeventfd.ts";
export { IrqFds } from "./irqfd.ts";
export { ModelKvm } from "./kvm.ts";
export {
  EngineExit,
  type EngineMemory,
  type EngineRequest,
  type PowerCpu,
  type PowerEngine,
  type PowerEngineFactory,
} from "./power/engine.ts";
export { installPowerKvm } from "./power/install.ts";
export type { CompiledCalls, RealMode } from "./real-mode.ts";
export { MemorySlots, type Slot } from "./slots.ts";
export { ModelVm } from "./vm.ts";
