// The IOMMU units of a modelled x86 host. VT-d has several in a machine: each is in front of the functions in its scope and
// has extended capabilities of its own, so that snoop control (ECAP.SC) may be missing in front of some functions alone; units
// of graphics often lack it.
// Source: Intel VT-d specification 8.3.1 (device scope: a bridge stands for all that is behind it), 11.4.3 (ECAP.SC); Linux
// drivers/iommu/intel/iommu.c (intel_iommu_capable, domain_support_force_snooping: all functions of a domain have to have it).
// Invariant: a virtual function is behind the unit of its physical one, as its requests bear that one's scope.
import type { PciFunction, PciTopology } from "@minivmm/pci";
import type { HostDescription } from "./description.ts";
import { ModelHostError } from "./error.ts";

export type Type1Description = Extract<HostDescription["iommu"], { kind: "type1" }>;

/** Whether the unit in front of a function can make no-snoop DMA snoop. Throws ModelHostError MODEL_DESCRIPTION. */
export function snoopControlOf(iommu: Type1Description, topology: PciTopology): (fn: PciFunction) => boolean {
  const { snoopControl = true, units = [] } = iommu;
  const scopes = new Map<PciFunction, boolean>();
  for (const [index, unit] of units.entries()) {
    for (const name of unit.scope) {
      const fn = topology.functions.find((each) => each.name === name.toLowerCase());
      const why = fn === undefined ? "there is no such function" : scopes.has(fn) ? "it is in two scopes" : undefined;
      if (fn === undefined || why !== undefined) throw badScope(index, name, why ?? "");
      scopes.set(fn, unit.snoopControl ?? snoopControl);
    }
  }
  return (fn) => {
    const physical = fn.physfn ?? fn;
    for (const each of [physical, ...physical.bus.bridges()]) {
      const own = scopes.get(each);
      if (own !== undefined) return own;
    }
    return snoopControl;
  };
}

function badScope(unit: number, name: string, why: string): ModelHostError {
  return new ModelHostError(`the host description is wrong at iommu.units.${unit}.scope: ${name}: ${why}`, {
    code: "MODEL_DESCRIPTION",
    details: { at: `iommu.units.${unit}.scope`, name },
    hint: "A scope holds addresses of functions and bridges, such as 0000:00:02.0, each in one unit.",
  });
}
