// Which modelled host stands for the machine of a recording.

import { type HostDescription, modelHostDescription, type Variation } from "@minivmm/model-host";
import type { RecordedMachine } from "../machine.ts";

/** What the ways to boot the x86 machine change. */
const X86_RIGS: Readonly<Record<string, Variation>> = {
  aw39: { addressWidth: 39 },
  nointremap: { interruptRemapping: false },
  nointxmask: { nointxmask: true },
  noiommu: { iommu: "none" },
};

/** POWER machines by the beginning of their recordings' names. */
const PPC_RIGS: Readonly<Record<string, string>> = { pnv8: "powernv8", pnv10: "powernv10", ps: "pseries-l1" };

export function hostOf({ arch, rig }: RecordedMachine): HostDescription {
  if (arch === "ppc64le") return modelHostDescription(PPC_RIGS[rig] ?? "powernv9");
  return modelHostDescription("q35", X86_RIGS[rig]);
}
