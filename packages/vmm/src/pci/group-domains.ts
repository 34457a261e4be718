// Functions of one IOMMU group cannot be told apart by the IOMMU, so the kernel has them in one domain: one container, or one
// iommufd. Asked for otherwise it says that the group is in use, by this very process.
// Source: Linux Documentation/driver-api/vfio.rst.
import type { Host } from "@minivmm/host";
import { iommuGroupOf, VfioError } from "@minivmm/vfio-core";
import { VmmError } from "../errors.ts";

export interface PlacedFunction {
  /** PCI address on the host. */
  readonly bdf: string;
  /** Name of its domain. */
  readonly domain: string;
}

/** Throws VmmError USAGE_CONFIG when a group would be in two domains. What sysfs does not tell is left to the kernel. */
export function requireOneDomainPerGroup(host: Host, functions: readonly PlacedFunction[]): void {
  const first = new Map<number, PlacedFunction>();
  for (const each of functions) {
    const group = groupOf(host, each.bdf);
    if (group === undefined) continue;
    const other = first.get(group);
    if (other === undefined) first.set(group, each);
    else if (other.domain !== each.domain) throw apart(group, other, each);
  }
}

function groupOf(host: Host, bdf: string): number | undefined {
  try {
    return iommuGroupOf(host, bdf);
  } catch (error) {
    if (error instanceof VfioError) return undefined;
    throw error;
  }
}

function apart(group: number, a: PlacedFunction, b: PlacedFunction): VmmError {
  return new VmmError(
    `${a.bdf} and ${b.bdf} are both in IOMMU group ${group}, so they cannot be in two domains (${a.domain}, ${b.domain})`,
    {
      code: "USAGE_CONFIG",
      details: { group, functions: [a, b] },
      hint: "give both the same container, or the same iommufd",
    },
  );
}
