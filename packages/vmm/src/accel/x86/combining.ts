// Turns write-combining on for a machine whose devices are models: what KVM gathers goes to the bus in bursts, and is looked
// at before any other access and every few milliseconds.
import type { KvmVcpu } from "@minivmm/kvm";
import { COMBINE_TICK_MS, CombinedWrites } from "../../machines/pc/combined-writes.ts";
import type { PagingState } from "../../machines/pc/guest-mappings.ts";
import type { PcRam } from "../../machines/pc/ram.ts";
import type { BareBox } from "./bare-box.ts";
import type { PlatformClock } from "./platform.ts";

const MSR_IA32_CR_PAT = 0x277;

/** The CPUs exist. Nothing happens where KVM has no ring. */
export function combineWrites({ kvm, machine }: BareBox, ram: PcRam, clock: PlatformClock): void {
  const { vm, vcpus } = kvm;
  const first = vcpus[0];
  const ring = first === undefined ? null : vm.coalescedRing(first);
  if (ring === null) return;
  const combined: CombinedWrites = new CombinedWrites({
    vm,
    ring,
    ram,
    write: (address, bytes) => {
      machine.bridge.writeBurst(address, bytes);
    },
    paging: () => pagingOf(vcpus[machine.cpu] as KvmVcpu),
    waiting: () => {
      clock.after(COMBINE_TICK_MS, () => combined.tick());
    },
  });
  machine.combined = combined;
  combined.setRanges(machine.bridge.combinableRanges());
}

function pagingOf(vcpu: KvmVcpu): PagingState {
  const { cr3, cr4 } = vcpu.getSregs();
  return { cr3, cr4, pat: vcpu.getMsrs([MSR_IA32_CR_PAT])[0] ?? 0n };
}
