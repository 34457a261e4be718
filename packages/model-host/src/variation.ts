// Ways to boot the same machine: another IOMMU or none, interrupts that are not remapped, DMA that need not snoop, module
// parameters.
import type { FunctionDescription, HostDescription } from "./description.ts";
import { ModelHostError } from "./error.ts";

export interface Variation {
  /** "none": as if the machine had no IOMMU; then there are no groups, and vfio-pci cannot be bound. */
  iommu?: "none";
  /** Address bits of a type1 IOMMU. */
  addressWidth?: number;
  /** Whether a type1 IOMMU remaps interrupts. */
  interruptRemapping?: boolean;
  /** Whether units of a type1 IOMMU can make no-snoop DMA snoop, where they are not said to differ. */
  snoopControl?: boolean;
  /** vfio-pci was loaded with nointxmask=1: interrupt lines cannot be shared. */
  nointxmask?: boolean;
  /** Whether KVM on POWER answers hypercalls on TCEs in compiled code first, as real mode did. */
  realMode?: boolean;
}

/** Changes the description. Throws ModelHostError MODEL_OPTION when the host has no such thing to change. */
export function vary(description: HostDescription, variation: Variation): void {
  const { iommu, addressWidth, interruptRemapping, snoopControl, nointxmask, realMode } = variation;
  if (realMode !== undefined) {
    if (description.arch !== "ppc64le") throw notPower(description);
    description.realMode = realMode;
  }
  if (nointxmask !== undefined) description.vfioPci = { ...description.vfioPci, nointxmask };
  if (addressWidth !== undefined || interruptRemapping !== undefined || snoopControl !== undefined) {
    const old = description.iommu;
    if (old.kind !== "type1") throw notType1(description);
    description.iommu = {
      ...old,
      ...(addressWidth !== undefined && { addressWidth }),
      ...(interruptRemapping !== undefined && { interruptRemapping }),
      ...(snoopControl !== undefined && { snoopControl }),
    };
  }
  if (iommu !== "none") return;
  description.iommu = { kind: "none" };
  for (const domain of description.domains) releaseFromVfio(domain.devices);
}

/** Nothing is in a group, so vfio-pci's probe has failed everywhere. */
function releaseFromVfio(functions: FunctionDescription[]): void {
  for (const fn of functions) {
    if (fn.driver === "vfio-pci") delete fn.driver;
    releaseFromVfio(fn.children ?? []);
  }
}

function notType1({ name, iommu }: HostDescription): ModelHostError {
  return new ModelHostError(
    `the host "${name}" has no type1 IOMMU whose width, interrupt remapping or snoop control could differ`,
    {
      code: "MODEL_OPTION",
      details: { name, iommu: iommu.kind },
      hint: "These options are for x86 hosts.",
    },
  );
}

function notPower({ name, arch }: HostDescription): ModelHostError {
  return new ModelHostError(`the host "${name}" has no real mode that could be on or off`, {
    code: "MODEL_OPTION",
    details: { name, arch },
    hint: "It is a part of KVM on POWER.",
  });
}
