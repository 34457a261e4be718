// The effective memory type of a guest page, whatever the machine: one question over the tables of the three processors.
// Source: intel.ts, amd.ts, power.ts; without KVM the guest's accesses are this program's, which has RAM write-back (or
// normal) and BARs through vfio-pci, uncached and guarded; linux drivers/vfio/pci/vfio_pci_core.c. Of stores to prefetchable
// BARs through pages of tolerant I/O the software POWER CPU gathers up to 64 bytes for one request; so does KVM's ring on x86,
// through pages that are write-combining, where machine pc asks for it.
// Invariants: a page behind which accesses are trapped has the type of the one access that answers each of them; nothing
// allocates.
import { type AmdType, amdType } from "./amd.ts";
import { intelType, type KvmState } from "./intel.ts";
import { RADIX_ATTRIBUTES, type RadixAttribute, radixType, VFIO_BAR_ATTRIBUTE } from "./power.ts";
import { type MtrrType, PAT_TYPES, type PatType } from "./x86-types.ts";

export type GuestRequest = PatType | RadixAttribute;
export type EffectiveType = AmdType | MtrrType | RadixAttribute;

/** What is behind a guest page. */
export interface GuestPage {
  readonly memory: "ram" | "bar";
  /** The guest reaches it directly, or each access ends in the monitor. RAM is always mapped. */
  readonly access: "mapped" | "trapped";
  /** Of a trapped BAR: stores that the guest wants combined reach the monitor together. Default false. */
  readonly gathered?: boolean;
}

/** `kvm` null: a CPU in software. */
export type GuestCpu =
  | { readonly vendor: "intel" | "amd"; readonly kvm: KvmState | null }
  | { readonly vendor: "power"; readonly kvm: object | null };

/** Everything that a guest of this CPU can ask for. */
export function requestsOf(vendor: GuestCpu["vendor"]): readonly GuestRequest[] {
  return vendor === "power" ? RADIX_ATTRIBUTES : PAT_TYPES;
}

/** Effective type. A request that is not one of this CPU's counts as its default (WB, normal). */
export function effectiveType(cpu: GuestCpu, page: GuestPage, request: GuestRequest): EffectiveType {
  const device = page.memory === "bar";
  const direct = cpu.kvm !== null && page.access === "mapped";
  if (cpu.vendor === "power") {
    const gathered = cpu.kvm === null && page.gathered === true && request === "tolerant";
    if (!direct) return device ? (gathered ? "tolerant" : VFIO_BAR_ATTRIBUTE) : "normal";
    return radixType(device ? VFIO_BAR_ATTRIBUTE : "normal", isRadix(request) ? request : "normal");
  }
  if (!direct) {
    const gathered = cpu.kvm !== null && page.gathered === true && request === "WC";
    return device ? (gathered ? "WC" : "UC") : "WB";
  }
  const pat = isRadix(request) ? "WB" : request;
  if (cpu.vendor === "amd") return amdType(device, pat);
  return intelType(device ? DEVICE : RAM, pat, cpu.kvm as KvmState);
}

const DEVICE = { hostMmio: true } as const;
const RAM = { hostMmio: false } as const;

function isRadix(request: GuestRequest): request is RadixAttribute {
  return (RADIX_ATTRIBUTES as readonly GuestRequest[]).includes(request);
}
