// What the parts of the modelled KVM know of one another: a VM as devices see it, KVM as VMs see it, and the hooks
// through which other packages add device types, VM requests and capabilities.
import type { StructValue } from "@minivmm/host";
import type { IoctlCall, ModelKernel, ModelProcess, OpenFile } from "@minivmm/host/model";
import type { kvm_enable_cap } from "../uapi.ts";
import type { InterruptSink } from "./interrupts.ts";
import type { IoEventFds } from "./ioeventfd.ts";
import type { IrqFds } from "./irqfd.ts";
import type { RealMode } from "./real-mode.ts";
import type { MemorySlots } from "./slots.ts";

/** Answers a hypercall: what goes to r3, or H_TOO_HARD. Other results it writes into the registers itself. */
export type HypercallHandler = (vm: Vm, gpr: Uint32Array) => number;

export interface Hypercall {
  readonly handle: HypercallHandler;
  /** Whether a new VM has it switched on. */
  readonly enabled: boolean;
}

/** The hypercalls of one VM. */
export interface HypercallTable {
  /** Goes up when a call is switched on or off. */
  readonly version: number;
  isOn(nr: number): boolean;
  /** Answers the call whose number is in r3: its result, or H_TOO_HARD. Does not allocate. */
  call(gpr: Uint32Array): number;
  /** KVM_CAP_PPC_ENABLE_HCALL: 0, or -EINVAL for a call that KVM does not have. */
  enable(nr: bigint, on: bigint): number;
}

/** A VM of the modelled kernel. */
export interface Vm {
  /** The process whose memory backs the slots; no other may use the VM. */
  readonly process: ModelProcess;
  /** The VM's file: whoever keeps the VM alive holds a reference on it. */
  readonly file: OpenFile;
  readonly slots: MemorySlots;
  readonly irqfds: IrqFds;
  readonly ioeventfds: IoEventFds;
  /** What the kernel answers when the guest makes a hypercall. */
  readonly hypercalls: HypercallTable;
  /** Where interrupts of irqfds, lines and messages go: set by whoever models the guest's interrupt controllers. */
  interrupts: InterruptSink;
  /** Users of DMA that does not snoop; above 0 the guest's cache control is honoured. */
  noncoherentDmaCount: number;
  /** Groups of assigned devices. */
  assignedDeviceCount: number;
  /** Calls `end` when the VM goes: for devices that live as long as their VM. */
  onRelease(end: () => void): void;
}

/** An attribute request as a device sees it. */
export interface AttributeCall {
  readonly process: ModelProcess;
  readonly group: number;
  readonly attr: number;
  /** User address of the value. */
  readonly address: bigint;
}

/** A device's own rules. All return >= 0 or -errno and may throw KernelError. */
export interface KvmDeviceOps {
  /** Kind of its descriptor, such as "kvm-vfio". */
  readonly kind: string;
  has(call: AttributeCall): number;
  set?(call: AttributeCall): number;
  get?(call: AttributeCall): number;
  release(): void;
  /** There was no descriptor for it: it goes at once, even if it would live as long as its VM. Comes after release. */
  discard?(): void;
}

/** Makes a device of a type. Throws KernelError (EBUSY when the VM may have one only). */
export type KvmDeviceType = (vm: Vm) => KvmDeviceOps;
/** Answers a VM request that this package does not know. */
export type VmIoctl = (vm: Vm, call: IoctlCall) => number;
/** Answers KVM_ENABLE_CAP for one capability: 0 or -errno. */
export type CapabilityEnabler = (vm: Vm, request: StructValue<typeof kvm_enable_cap>) => number;

/** KVM as its VMs see it. */
export interface KvmFrame {
  readonly kernel: ModelKernel;
  readonly deviceTypes: ReadonlyMap<number, KvmDeviceType>;
  readonly vmIoctls: ReadonlyMap<number, VmIoctl>;
  /** Hypercalls by number (a multiple of 4). */
  readonly hypercalls: ReadonlyMap<number, Hypercall>;
  /** The stage in front of a VM's hypercalls, where there is one. */
  readonly realMode: ((vm: Vm) => RealMode | null) | null;
  capability(id: number): number;
  enableCap(vm: Vm, request: StructValue<typeof kvm_enable_cap>): number;
  /** The last reference on the VM is gone. */
  released(vm: Vm): void;
}
