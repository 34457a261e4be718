// What KVM_CHECK_EXTENSION answers on the modelled kernel, by architecture and kernel profile.
// Sources: virt/kvm/kvm_main.c (generic), arch/x86/kvm/x86.c, arch/powerpc/kvm/powerpc.c.
// Invariant: only what the model really does is advertised, so NR_MEMSLOTS is real, and MAX_VCPUS is 0 until
// vCPUs are installed.

import type { ModelKernel } from "@minivmm/host/model";
import {
  KVM_CAP_COALESCED_MMIO,
  KVM_CAP_COALESCED_PIO,
  KVM_CAP_DEVICE_CTRL,
  KVM_CAP_IOEVENTFD,
  KVM_CAP_IRQ_ROUTING,
  KVM_CAP_IRQCHIP,
  KVM_CAP_IRQFD,
  KVM_CAP_IRQFD_RESAMPLE,
  KVM_CAP_NR_MEMSLOTS,
  KVM_CAP_PPC_ENABLE_HCALL,
  KVM_CAP_READONLY_MEM,
  KVM_CAP_SIGNAL_MSI,
  KVM_CAP_USER_MEMORY,
} from "../uapi.ts";
import { KVM_CAP_PIT2, KVM_CAP_SET_IDENTITY_MAP_ADDR, KVM_CAP_SET_TSS_ADDR, KVM_MAX_IRQ_ROUTES } from "../uapi-x86.ts";

/** The page of the run page area that holds the ring of coalesced writes. */
const KVM_COALESCED_MMIO_PAGE_OFFSET = 2;

/** Slots of one address space that user space may use (KVM_USER_MEM_SLOTS of x86 and powerpc, 32767 less 3). */
export const KVM_USER_MEM_SLOTS = 32764;

const GENERIC: readonly (readonly [number, number])[] = [
  [KVM_CAP_USER_MEMORY, 1],
  [KVM_CAP_DEVICE_CTRL, 1],
  [KVM_CAP_IOEVENTFD, 1],
  [KVM_CAP_NR_MEMSLOTS, KVM_USER_MEM_SLOTS],
];

const X86: readonly (readonly [number, number])[] = [
  [KVM_CAP_IRQCHIP, 1],
  [KVM_CAP_IRQFD, 1],
  [KVM_CAP_IRQFD_RESAMPLE, 1],
  [KVM_CAP_READONLY_MEM, 1],
  [KVM_CAP_SET_TSS_ADDR, 1],
  [KVM_CAP_SET_IDENTITY_MAP_ADDR, 1],
  [KVM_CAP_PIT2, 1],
  [KVM_CAP_IRQ_ROUTING, KVM_MAX_IRQ_ROUTES],
  [KVM_CAP_SIGNAL_MSI, 1],
  [KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET],
  [KVM_CAP_COALESCED_PIO, 1],
];

const POWERPC: readonly (readonly [number, number])[] = [[KVM_CAP_PPC_ENABLE_HCALL, 1]];

/** The table that later packages add to (sPAPR TCE adds its capabilities when it is composed in). */
export function baseCapabilities(kernel: ModelKernel): Map<number, number> {
  return new Map([...GENERIC, ...(kernel.arch === "x86_64" ? X86 : POWERPC)]);
}
