// One sentence on why a region has the types it has, and one on whether DMA to RAM snoops.
// Source: the rules in @minivmm/vmm/attributes, in words.
import type { ContainerFacts, GuestCpu } from "@minivmm/vmm/attributes";
import type { BarOnBus } from "./page-facts.ts";

/** `nonCoherent`: KVM's count of devices that may bypass the caches; null when it is not known. */
export function explainRam(cpu: GuestCpu, nonCoherent: 0 | 1 | null): string {
  if (cpu.kvm === null) {
    const plain = cpu.vendor === "power" ? "normal" : "write-back";
    return `The CPU is in software: guest RAM is this program's own ${plain} memory, whatever the guest asks for.`;
  }
  if (cpu.vendor === "power") {
    return "The host has RAM as normal memory: a radix guest's stricter request holds, a hash guest's is overruled.";
  }
  if (cpu.vendor === "amd") {
    return "Nested paging cannot overrule a guest's PAT: UC becomes CD and WC becomes WC+, since the host has RAM as write-back.";
  }
  if (nonCoherent === null) {
    return "Write-back while all DMA snoops; if the IOMMU turns out not to enforce it, KVM lets the guest's PAT decide.";
  }
  if (nonCoherent === 0) {
    return "No DMA bypasses the caches as far as KVM knows, so its EPT entries say write-back and ignore the guest's PAT.";
  }
  return cpu.kvm.rules === "6.12"
    ? "DMA may bypass the caches, so KVM lets the guest's PAT decide and carries its WBINVD out; its MTRRs do not count."
    : "DMA may bypass the caches, so the guest's MTRRs (write-back here) and PAT decide, and its WBINVD is carried out.";
}

export function explainBar(cpu: GuestCpu, { bar, access, behind, gathered }: BarOnBus): string {
  if (access === "none") return "The guest does not decode it now: nothing answers at its addresses.";
  if (bar.kind === "io") return "Ports have no memory type: each access ends in the monitor.";
  if (bar.kind === "rom") return "vfio-pci lets nobody map an expansion ROM: each read is one request to it.";
  if (access === "trapped") {
    const answer = behind === "model" ? "hands it to the device model" : "makes one read or write through vfio-pci";
    if (!gathered) return `Each access ends in the monitor, which ${answer}: uncached, in order, not combined.`;
    const pages = cpu.vendor === "power" ? "tolerant pages are gathered" : "write-combining pages gather in KVM";
    const burst = behind === "model" ? "burst" : "request to vfio-pci, which cuts it into accesses of up to 8";
    return `Each access ends in the monitor; stores through ${pages}, up to 64 bytes for one ${burst}.`;
  }
  const part = bar.msixTable === true ? " (pages of the MSI-X table are trapped)" : "";
  const alone = bar.mappable === "alone" ? " if nothing shares its page" : "";
  if (cpu.vendor === "power") return `Mapped${alone}${part}: vfio-pci's guarded mapping is stricter than any request.`;
  const why =
    cpu.vendor === "amd" ? "the host's MTRRs have it as UC" : "KVM's EPT entry says UC and leaves the PAT alone";
  const caution = bar.prefetchable ? "" : ", though the BAR is not prefetchable";
  return `Mapped${alone}${part}: ${why}, so a guest's WC is reflected${caution}, and all else is UC.`;
}

export function ramSnoops(containers: readonly ContainerFacts[]): string {
  if (containers.length === 0) return "no device of the host reaches it";
  const words = containers.map(snoops);
  if (new Set(words).size === 1) return words[0] as string;
  return containers.map(({ name }, index) => `container ${name}: ${words[index]}`).join("; ");
}

function snoops({ iommu, asked, enforcesSnoop }: ContainerFacts): string {
  if (iommu !== "type1") return "always: the fabric is coherent (VFIO_DMA_CC_IOMMU is 0 on sPAPR and says nothing)";
  if (enforcesSnoop === null) return asked ? "not known: the kernel does not say" : "not known before the start";
  return enforcesSnoop
    ? "always: the IOMMU overrides No-Snoop (VFIO_DMA_CC_IOMMU 1)"
    : "unless the device asks for No-Snoop (VFIO_DMA_CC_IOMMU 0)";
}
