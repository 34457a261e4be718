// Who answers hypercalls on a TCE table: KVM, which then keeps the table and, for passed-through devices, writes the
// hardware's too; or this program. Decided for each table when it is made, and again when a passed-through device comes.
// Source: QEMU 7.2 kvmppc_create_spapr_tce (need_vfio), hw/vfio/spapr.c (KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE).
// Invariant: KVM never keeps the table of a window behind which there is hardware that it does not write: the guest would
// see success, and its device nothing.

export interface WindowGeometry {
  readonly liobn: number;
  readonly pageShift: number;
  /** Bus address of entry 0, a multiple of the page size. */
  readonly busHi: number;
  readonly busLo: number;
  readonly entries: number;
}

/** Whose DMA goes through a window: a VIO device's, device models' on the PCI bus, or (also) passed-through functions'. */
export type TceUse = "vio" | "emulated" | "vfio";

/** A table in the kernel, mapped here. */
export interface KernelTceTable {
  readonly fd: number;
  /** The mapping; null where it must be read access by access (load, store). */
  readonly words: Uint32Array | null;
  /** 32-bit word `word` of the table: low half of entry i at 2i, high half at 2i + 1. */
  load(word: number): number;
  store(word: number, value: number): void;
  close(): void;
}

/** The kernel's side. Absent where there is no KVM below the guest. */
export interface TceAcceleration {
  /** Tables at all; tables that can be linked to VFIO groups. */
  readonly canKeepTables: boolean;
  readonly canLinkGroups: boolean;
  /** The kernel's table, or why it gave none. */
  createTable(geometry: WindowGeometry): KernelTceTable | string;
  /** KVM hears of a group whose devices the VM uses. Undefined, or why it does not take it. */
  addGroup(groupFd: number): string | undefined;
  removeGroup(groupFd: number): void;
  /** Has KVM write the group's hardware table with the table. Undefined, or why it refused. */
  linkGroup(groupFd: number, tableFd: number): string | undefined;
}

export interface TceFacts {
  readonly kvm: boolean;
  readonly canKeepTables: boolean;
  readonly canLinkGroups: boolean;
  /** The user lets KVM answer for passed-through devices. */
  readonly vfioAccel: boolean;
}

export const NO_KVM = "the guest does not run in KVM";
export const NO_TABLES = "this KVM keeps no TCE tables (KVM_CAP_SPAPR_TCE)";
export const SWITCHED_OFF = "switched off by vfio-accel=off";
export const NO_LINKS = "this KVM cannot write the tables of VFIO groups (KVM_CAP_SPAPR_TCE_VFIO)";
export const VERSION_1 = "the container is of version 1, which has no registered memory for KVM to map";

/** Why a table cannot be KVM's; undefined: it may be asked for. The first that holds is the one that is told. */
export function whyNotInKernel(use: TceUse, facts: TceFacts): string | undefined {
  if (!facts.kvm) return NO_KVM;
  if (!facts.canKeepTables) return NO_TABLES;
  if (use !== "vfio") return undefined;
  if (!facts.vfioAccel) return SWITCHED_OFF;
  return facts.canLinkGroups ? undefined : NO_LINKS;
}
