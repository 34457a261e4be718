// Ready-made hosts by name. Each is plain data; adding one is adding a file here, and its name to names.ts.
import type { HostDescription } from "../description.ts";
import { ModelHostError } from "../error.ts";
import { type Variation, vary } from "../variation.ts";
import { DESKTOP_DISK, desktop } from "./desktop.ts";
import { type ModelHostName, modelHostNames } from "./names.ts";
import { POWER9_DISK, power9 } from "./power9.ts";
import { Q35_DISK, q35 } from "./q35.ts";
import { POWERNV9_DISK, PSERIES_L1_DISK, powernv8, powernv9, powernv10, pseriesL1 } from "./rigs.ts";

interface ReadyMade {
  readonly description: HostDescription;
  /** One line for lists. */
  readonly summary: string;
  /** The function whose storage the option `disk` replaces. */
  readonly disk?: string;
}

const READY_MADE: Readonly<Record<ModelHostName, ReadyMade>> = {
  power9: {
    description: power9,
    summary: "bare-metal POWER9, sPAPR TCE IOMMU, an NVMe disk and edu devices on vfio-pci",
    disk: POWER9_DISK,
  },
  desktop: {
    description: desktop,
    summary: "an x86 machine with a type1 IOMMU, an NVMe disk and edu devices on vfio-pci",
    disk: DESKTOP_DISK,
  },
  q35: {
    description: q35,
    summary: "the recorded x86 machine: type1, 36 functions of every kind, shared groups, a switch, SR-IOV, a display",
    disk: Q35_DISK,
  },
  powernv9: {
    description: powernv9,
    summary: "the recorded powernv9: an NVMe disk, edu devices, a shared group of three; nothing freezes",
    disk: POWERNV9_DISK,
  },
  powernv8: {
    description: powernv8,
    summary: "the recorded powernv8: POWER8 page sizes, a shared group of four; nothing freezes",
    disk: POWERNV9_DISK,
  },
  powernv10: {
    description: powernv10,
    summary: "the recorded powernv10: powernv9 with another processor",
    disk: POWERNV9_DISK,
  },
  "pseries-l1": {
    description: pseriesL1,
    summary: "the recorded pseries guest that passes devices on: one group for each host bridge",
    disk: PSERIES_L1_DISK,
  },
};

/** A ready-made host. Throws ModelHostError MODEL_UNKNOWN, which lists the names. */
export function readyMade(name: string): ReadyMade {
  const known = Object.hasOwn(READY_MADE, name) ? READY_MADE[name as ModelHostName] : undefined;
  if (known) return known;
  throw new ModelHostError(`there is no ready-made host named "${name}"`, {
    code: "MODEL_UNKNOWN",
    details: { name, names: modelHostNames() },
    hint: `Choose one of: ${modelHostNames().join(", ")}.`,
  });
}

/**
 * The description of a ready-made host, booted as `variation` says, to be read or changed; a copy.
 * Throws ModelHostError (MODEL_UNKNOWN, MODEL_OPTION).
 */
export function modelHostDescription(name: string, variation: Variation = {}): HostDescription {
  const description = structuredClone(readyMade(name).description);
  vary(description, variation);
  return description;
}
