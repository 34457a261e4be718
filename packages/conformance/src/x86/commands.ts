// The ioctls that x86 recordings name: request number, struct, which fields are not in a recording, what follows.
// Sources: include/uapi/linux/{vfio,kvm}.h, through the packages that own each ABI.

import { ioctlNumbers, type StructType, struct, u32, u64 } from "@minivmm/host";
import { kvm_create_device, kvm_device_attr, kvm_ioeventfd, kvm_irqfd, kvmRequests } from "@minivmm/kvm";
import {
  hotResetIoctls,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from "@minivmm/pci-hotreset";
import * as vfio from "@minivmm/vfio-core";
import type { Json } from "../lines.ts";
import { chainOf } from "./capabilities.ts";

// biome-ignore lint/suspicious/noExplicitAny: structs of any shape are looked up by the name of their command
export type AnyStruct = StructType<any>;

export interface Command {
  readonly request: number;
  readonly struct?: AnyStruct;
  /** Instead of `struct` when one of the fields behind it is given: what some callers append. */
  readonly extended?: AnyStruct;
  /** Fields that a recording leaves out: pointers and descriptors. */
  readonly hidden?: readonly string[];
  /** Whether what follows the struct is shown, as hexadecimal `data`. */
  readonly data?: boolean;
  /** More that is told of the memory after the call. */
  tail?(bytes: Uint8Array, fields: Json, ret: number): Json;
}

const ARCH = "x86_64";
const bitmap = { bitmap_pgsize: u64, bitmap_size: u64, bitmap_data: u64 };
const unmapWithBitmap = struct("vfio_iommu_type1_dma_unmap + vfio_bitmap", {
  argsz: u32,
  flags: u32,
  iova: u64,
  size: u64,
  ...bitmap,
});
const headOnly = struct("argsz and flags", { argsz: u32, flags: u32 });

const POINTERS = ["vaddr", "bitmap_data"];

function affectedFunctions(bytes: Uint8Array, { count }: Json, ret: number): Json {
  if (ret !== 0) return {};
  const at = (i: number): number => vfio_pci_hot_reset_info.size + i * vfio_pci_dependent_device.size;
  return { devices: Array.from({ length: Number(count) }, (_, i) => vfio_pci_dependent_device.decode(bytes, at(i))) };
}

const STRUCTS: Record<string, Omit<Command, "request">> = {
  VFIO_GROUP_GET_STATUS: { struct: vfio.vfio_group_status },
  VFIO_DEVICE_GET_INFO: { struct: vfio.vfio_device_info, hidden: ["pad"], tail: chainOf("other") },
  VFIO_DEVICE_GET_REGION_INFO: { struct: vfio.vfio_region_info, tail: chainOf("other") },
  VFIO_DEVICE_GET_IRQ_INFO: { struct: vfio.vfio_irq_info },
  VFIO_DEVICE_SET_IRQS: { struct: vfio.vfio_irq_set },
  VFIO_DEVICE_IOEVENTFD: { struct: vfio.vfio_device_ioeventfd, hidden: ["fd", "reserved"] },
  VFIO_DEVICE_FEATURE: { struct: vfio.vfio_device_feature, data: true },
  VFIO_DEVICE_QUERY_GFX_PLANE: { struct: headOnly },
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: { struct: vfio_pci_hot_reset_info, tail: affectedFunctions },
  VFIO_DEVICE_PCI_HOT_RESET: { struct: vfio_pci_hot_reset },
  VFIO_IOMMU_GET_INFO: { struct: vfio.vfio_iommu_type1_info, hidden: ["pad"], tail: chainOf("iommu") },
  VFIO_IOMMU_MAP_DMA: { struct: vfio.vfio_iommu_type1_dma_map, hidden: POINTERS },
  VFIO_IOMMU_UNMAP_DMA: { struct: vfio.vfio_iommu_type1_dma_unmap, extended: unmapWithBitmap, hidden: POINTERS },
  VFIO_IOMMU_DIRTY_PAGES: { struct: headOnly, extended: unmapWithBitmap, hidden: POINTERS },
  VFIO_EEH_PE_OP: { struct: struct("vfio_eeh_pe_op", { argsz: u32, flags: u32, op: u32 }) },
  KVM_CREATE_DEVICE: { struct: kvm_create_device, hidden: ["fd"] },
  KVM_SET_DEVICE_ATTR: { struct: kvm_device_attr, hidden: ["addr"] },
  KVM_GET_DEVICE_ATTR: { struct: kvm_device_attr, hidden: ["addr"] },
  KVM_HAS_DEVICE_ATTR: { struct: kvm_device_attr, hidden: ["addr"] },
  KVM_IRQFD: { struct: kvm_irqfd, hidden: ["fd", "resamplefd"] },
  KVM_IOEVENTFD: { struct: kvm_ioeventfd, hidden: ["fd"] },
};

/** Numbers beyond those that a package of ours owns: of other IOMMUs, of other kinds of devices, of nobody. */
const FOREIGN_NUMBERS: Record<string, number> = {
  VFIO_IOMMU_ENABLE: vfio.vfioIoctl(ARCH, 15),
  VFIO_IOMMU_DISABLE: vfio.vfioIoctl(ARCH, 16),
  VFIO_EEH_PE_OP: vfio.vfioIoctl(ARCH, 21),
  VFIO_DEVICE_QUERY_GFX_PLANE: vfio.vfioIoctl(ARCH, 14),
  VFIO_DEVICE_GET_GFX_DMABUF: vfio.vfioIoctl(ARCH, 15),
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY: vfio.vfioIoctl(ARCH, 17),
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: vfio.vfioIoctl(ARCH, 18),
  VFIO_IOMMU_SPAPR_TCE_CREATE: vfio.vfioIoctl(ARCH, 19),
  VFIO_IOMMU_SPAPR_TCE_REMOVE: vfio.vfioIoctl(ARCH, 20),
  VFIO_UNKNOWN: vfio.vfioIoctl(ARCH, 99),
  FOREIGN: ioctlNumbers(ARCH).IO(0x51, 1),
};

const NUMBERS: Readonly<Record<string, number>> = {
  ...FOREIGN_NUMBERS,
  ...kvmRequests(ARCH),
  ...vfio.type1Ioctls(ARCH),
  ...hotResetIoctls(ARCH),
  ...vfio.vfioIoctls(ARCH),
};

/** By C name. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries(NUMBERS).map(([name, request]) => [name, { request, ...STRUCTS[name] }]),
);
