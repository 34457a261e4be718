// The rig of this package with KVM and real mode, and what each stage made of the calls.

import { H_PUT_TCE } from "@minivmm/kvm";
import { VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { expect } from "vitest";
import { SpaprContainer } from "../src/index.ts";
import { PreregisteredMemory, type Reason } from "../src/model/index.ts";
import { GIB, LIOBN, vfioRig } from "./kvm-rig.ts";

type Options = Parameters<typeof vfioRig>[0];

/** A window that a group follows, with registered memory and, unless it is lazy, a user view. */
export function linked(options: Options & { lazy?: boolean } = {}) {
  const { lazy = false, ...rest } = options;
  const made = vfioRig({ profile: "4.12", realMode: true, ...rest });
  const pageShift = options.window?.pageShift ?? 12;
  const window = made.table({ pageShift, size: options.window?.size ?? GIB });
  expect(made.link(window)).toBe(0);
  made.register();
  if (!lazy && !made.hardware().userView) made.hardware().makeUserView();
  const put = (ioba: number | bigint, tce: number | bigint) => made.call(H_PUT_TCE, LIOBN, ioba, tce);
  const region = () => PreregisteredMemory.of(made.process.mm, made.driver.arena).regions[0]!;
  /** [real, virtual] outcomes of all calls so far, without the zeros. */
  const stages = () => {
    const { stages: all, reasons } = made.counters();
    const of = (stage: "real" | "virtual") => {
      const sums: Record<string, number> = {};
      for (const { entries: _, ...outcomes } of Object.values(all[stage])) {
        for (const [outcome, count] of Object.entries(outcomes)) {
          if (count > 0) sums[outcome] = (sums[outcome] ?? 0) + count;
        }
      }
      return sums;
    };
    const why = Object.entries(reasons).filter(([, count]) => count > 0) as [Reason, number][];
    return { real: of("real"), virtual: of("virtual"), why: Object.fromEntries(why) };
  };
  return { ...made, window, put, region, stages };
}

/** The other group in a container of its own, with a window like the first one's. */
export function secondContainer(made: ReturnType<typeof vfioRig>): SpaprContainer {
  const container = VfioContainer.open(made.process);
  VfioGroup.open(made.process, 1).setContainer(container);
  container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
  const spapr = new SpaprContainer(container);
  spapr.removeWindow(0n);
  spapr.createWindow({ pageShift: 12, windowSize: GIB });
  return spapr;
}
