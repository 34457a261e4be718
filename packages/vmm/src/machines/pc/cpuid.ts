// What CPUID says on each CPU of machine pc: what the host's KVM can do (KVM_GET_SUPPORTED_CPUID), with the host's own
// topology replaced by the machine's: one package, `count` cores, one thread each; CPU n has APIC id n.
// Source: Intel 64 SDM volume 2A, CPUID; AMD64 APM volume 3, appendix E; Linux Documentation/virt/kvm/api.rst.
// Invariants: no leaf keeps an APIC id, a core count or a number of sharers of the host; no feature is invented but those
// that KVM's own interrupt controller brings (x2APIC, deadline timer).
import { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } from "@minivmm/kvm";

/** `struct kvm_cpuid_entry2`; registers are unsigned. */
export interface CpuidEntry {
  readonly function: number;
  readonly index: number;
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export interface CpuTopology {
  /** CPU, from 0; also its APIC id. */
  readonly index: number;
  /** CPUs of the machine. */
  readonly count: number;
  /** The local APIC's timer takes deadlines (KVM_CAP_TSC_DEADLINE_TIMER). */
  readonly tscDeadline: boolean;
}

const LEAF_1_ECX_X2APIC = 1 << 21;
const LEAF_1_ECX_TSC_DEADLINE = 1 << 24;
const LEAF_1_ECX_HYPERVISOR = 1 << 31;
const LEAF_1_EDX_HTT = 1 << 28;
const EXT_1_ECX_CMP_LEGACY = 1 << 1;
const LEVEL_SMT = 1;
const LEVEL_CORE = 2;
/** Made anew below, or (AMD's own kind, of newer CPUs) left out: then the older ways of counting hold. */
const TOPOLOGY_LEAVES = [0xb, 0x1f, 0x8000_0026];
/** AMD and its licensee count cores in leaves of their own. */
const AMD_VENDORS = ["AuthenticAMD", "HygonGenuine"];

/** Entries for KVM_SET_CPUID2 of one CPU. */
export function cpuidOfCpu(supported: readonly CpuidEntry[], cpu: CpuTopology): CpuidEntry[] {
  const amd = AMD_VENDORS.includes(cpuVendor(supported));
  const highest = supported.find((entry) => entry.function === 0)?.eax ?? 0;
  const out: CpuidEntry[] = [];
  for (const entry of supported) {
    if (TOPOLOGY_LEAVES.includes(entry.function)) continue;
    out.push(unsigned(adapt(entry, cpu, amd)));
  }
  for (const leaf of [0xb, 0x1f]) if (highest >= leaf) out.push(...topologyLevels(leaf, cpu));
  return out;
}

/** The twelve letters of leaf 0. */
export function cpuVendor(entries: readonly CpuidEntry[]): string {
  const leaf = entries.find((entry) => entry.function === 0);
  if (leaf === undefined) return "";
  const letters = [leaf.ebx, leaf.edx, leaf.ecx].flatMap((word) => [0, 8, 16, 24].map((bit) => (word >>> bit) & 0xff));
  return String.fromCharCode(...letters);
}

/** Bits of a physical address that a guest can have mapped; what nested paging reaches may be less than the CPU has. */
export function physicalAddressBits(entries: readonly CpuidEntry[]): number {
  const leaf = entries.find((entry) => entry.function === 0x8000_0008);
  if (leaf === undefined) return 36;
  const own = leaf.eax & 0xff;
  const guest = (leaf.eax >>> 16) & 0xff;
  return guest === 0 ? own : Math.min(own, guest);
}

function adapt(entry: CpuidEntry, { index, count, tscDeadline }: CpuTopology, amd: boolean): CpuidEntry {
  const many = count > 1;
  switch (entry.function) {
    case 1: {
      const ebx = (entry.ebx & 0xffff) | (Math.min(count, 255) << 16) | (index << 24);
      const deadline = tscDeadline ? LEAF_1_ECX_TSC_DEADLINE : 0;
      const ecx = (entry.ecx & ~LEAF_1_ECX_TSC_DEADLINE) | LEAF_1_ECX_X2APIC | LEAF_1_ECX_HYPERVISOR | deadline;
      return { ...entry, ebx, ecx, edx: many ? entry.edx | LEAF_1_EDX_HTT : entry.edx & ~LEAF_1_EDX_HTT };
    }
    case 4:
      return { ...entry, eax: intelCache(entry.eax, count) };
    case 0x8000_0001: {
      if (!amd) return entry;
      return { ...entry, ecx: many ? entry.ecx | EXT_1_ECX_CMP_LEGACY : entry.ecx & ~EXT_1_ECX_CMP_LEGACY };
    }
    case 0x8000_0008:
      return amd ? { ...entry, ecx: (entry.ecx & ~0xf0ff) | (idBits(count) << 12) | (count - 1) } : entry;
    case 0x8000_001d:
      return amd ? { ...entry, eax: withSharers(entry.eax, cacheLevel(entry.eax) >= 3 ? count - 1 : 0) } : entry;
    case 0x8000_001e:
      return amd ? { ...entry, eax: index, ebx: index & 0xff, ecx: 0, edx: 0 } : entry;
    default:
      return entry;
  }
}

const cacheLevel = (eax: number): number => (eax >>> 5) & 7;
const withSharers = (eax: number, sharers: number): number => (eax & ~(0xfff << 14)) | (sharers << 14);
/** Bits that hold the APIC ids of `count` CPUs. */
const idBits = (count: number): number => Math.ceil(Math.log2(count));

/** Leaf 4 counts ids that could be, not CPUs: both fields are a power of two, less one. Type 0 says that no cache follows. */
function intelCache(eax: number, count: number): number {
  if ((eax & 0x1f) === 0) return eax;
  const ids = (1 << idBits(count)) - 1;
  const shared = withSharers(eax, cacheLevel(eax) >= 3 ? ids : 0);
  return (shared & ~(0x3f << 26)) | (Math.min(ids, 63) << 26);
}

/** Leaves 0xB and 0x1F: threads of a core, cores of the package, the end. */
function topologyLevels(leaf: number, { index, count }: CpuTopology): CpuidEntry[] {
  const flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  return [
    { function: leaf, index: 0, flags, eax: 0, ebx: 1, ecx: (LEVEL_SMT << 8) | 0, edx: index },
    { function: leaf, index: 1, flags, eax: idBits(count), ebx: count, ecx: (LEVEL_CORE << 8) | 1, edx: index },
    { function: leaf, index: 2, flags, eax: 0, ebx: 0, ecx: 2, edx: index },
  ];
}

function unsigned({ eax, ebx, ecx, edx, ...entry }: CpuidEntry): CpuidEntry {
  return { ...entry, eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 };
}
