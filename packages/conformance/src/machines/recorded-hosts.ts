// Which modelled host stands for the machine of a recording.

import { type HostDescription, modelHostDescription } from "@minivmm/model-host";
import type { RecordedMachine } from "../machine.ts";

/** What the ways to boot the x86 machine change. */
const X86_RIGS: Readonly<Record<string, (host: HostDescription) => HostDescription>> = {
  aw39: (host) => ({ ...host, iommu: { ...host.iommu, kind: "type1", addressWidth: 39 } }),
  nointremap: (host) => ({ ...host, iommu: { ...host.iommu, kind: "type1", interruptRemapping: false } }),
  noiommu: (host) => ({ ...host, iommu: { kind: "none" } }),
};

/** POWER machines by the beginning of their recordings' names. */
const PPC_RIGS: Readonly<Record<string, string>> = { pnv8: "powernv8", pnv10: "powernv10", ps: "pseries-l1" };

export function hostOf({ arch, rig }: RecordedMachine): HostDescription {
  if (arch === "ppc64le") return modelHostDescription(PPC_RIGS[rig] ?? "powernv9");
  const full = modelHostDescription("q35");
  return X86_RIGS[rig]?.(full) ?? full;
}
