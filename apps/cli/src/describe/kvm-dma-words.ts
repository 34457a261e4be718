// What KVM makes of DMA that may bypass the caches, in words, for `attrs` before a start and for the summary after a run.
import type { KvmDmaFacts } from "@minivmm/vmm/attributes";

const RAM: Readonly<Record<NonNullable<KvmDmaFacts["ramType"]>, string>> = {
  "write-back": "guest RAM is write-back, whatever the guest asks for",
  "guest-pat": "the guest's PAT decides the type of its RAM",
  "guest-mtrr-and-pat": "the guest's MTRRs and PAT decide the type of its RAM",
};

/** Part of a sentence, without its capital and its full stop. */
export function kvmDmaWords({ nonCoherent, ramType, wbinvd }: KvmDmaFacts): string {
  if (nonCoherent === null) return "whether KVM counts its DMA as non-coherent is not known";
  const count = nonCoherent ? "KVM counts its DMA as non-coherent" : "all DMA snoops as far as KVM knows";
  const caches = wbinvd ? "its WBINVD empties caches" : "its WBINVD does nothing";
  return [count, ramType === null ? undefined : RAM[ramType], caches].filter((part) => part !== undefined).join("; ");
}
