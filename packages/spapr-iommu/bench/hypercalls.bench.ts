// Hypercalls on TCEs in virtual mode, as the modelled KVM answers them: one H_PUT_TCE is one page of a guest driver that
// maps singly, H_STUFF_TCE of 512 is what clears a window at boot, H_PUT_TCE_INDIRECT of 512 what maps all memory.
// Aim: 2 million H_PUT_TCE a second on a table without hardware, 1 million with; registers in halves, nothing allocated.

import { H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE } from "@minivmm/kvm";
import { bench, describe } from "vitest";
import { LIOBN, vfioRig, vmRig } from "../test/kvm-rig.ts";

const CALLS = 1000;
const PAGES = 512;

function registers(nr: number): Uint32Array {
  const gpr = new Uint32Array(64);
  gpr[6] = nr;
  gpr[8] = LIOBN;
  return gpr;
}

const emulated = vmRig();
emulated.table();
const linked = vfioRig();
linked.register();
linked.link(linked.table());

describe.each([
  ["a table without hardware", emulated],
  ["a table that a VFIO group follows", linked],
] as const)("spapr-iommu: %s", (_name, { model, list }) => {
  const { hypercalls } = model;
  const put = registers(H_PUT_TCE);
  bench("H_PUT_TCE, map and unmap one page, 1000 calls", () => {
    for (let i = 0; i < CALLS; i++) {
      put[8] = LIOBN;
      put[10] = (i & 0x1fe) << 11;
      put[12] = (i & 1) === 0 ? ((i & 0xff) << 12) | 3 : 0;
      hypercalls.call(put);
    }
  });

  const stuff = registers(H_STUFF_TCE);
  stuff[14] = PAGES;
  bench("H_STUFF_TCE of 512 empty entries, 1000 calls", () => {
    for (let i = 0; i < CALLS; i++) {
      stuff[10] = 0x1000_0000 + (i & 0xff) * PAGES * 4096;
      hypercalls.call(stuff);
    }
  });

  const at = list(
    0x1_0000,
    Array.from({ length: PAGES }, (_, i) => (i << 12) | 3),
  );
  const indirect = registers(H_PUT_TCE_INDIRECT);
  indirect[12] = at;
  indirect[14] = PAGES;
  bench("H_PUT_TCE_INDIRECT and H_STUFF_TCE of 512 entries, 10 pairs", () => {
    for (let i = 0; i < 10; i++) {
      indirect[10] = stuff[10] = 0x2000_0000;
      hypercalls.call(indirect);
      hypercalls.call(stuff);
    }
  });
});
