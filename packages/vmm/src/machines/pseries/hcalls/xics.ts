// Interrupt presentation hypercalls: H_XIRR, H_EOI, H_CPPR, H_IPI, H_IPOLL. Source: PAPR 2.7 section 14.11.

import { H_CPPR, H_EOI, H_IPI, H_IPOLL, H_PARAMETER, H_SUCCESS, H_XIRR } from "@minivmm/kvm";
import type { Phb } from "../phb.ts";
import type { Xics } from "../xics.ts";
import { type HcallTable, lo, put, small } from "./table.ts";

export function registerXicsHcalls(table: HcallTable, xics: Xics, phb: Phb): void {
  table.register(H_XIRR, "H_XIRR", (registers) => {
    put(registers, 4, 0, xics.accept());
    return H_SUCCESS;
  });

  table.register(H_EOI, "H_EOI", (registers) => {
    const xirr = lo(registers, 4);
    // A passed-through line is unmasked at its device first, so that only a line that is high again is presented again.
    phb.interruptEnded(xirr & 0x00ffffff);
    xics.endOfInterrupt(xirr);
    return H_SUCCESS;
  });

  table.register(H_CPPR, "H_CPPR", (registers) => {
    xics.setCppr(lo(registers, 4));
    return H_SUCCESS;
  });

  table.register(H_IPI, "H_IPI", (registers) => {
    if (small(registers, 4) !== 0) return H_PARAMETER;
    xics.setMfrr(lo(registers, 5));
    return H_SUCCESS;
  });

  table.register(H_IPOLL, "H_IPOLL", (registers) => {
    if (small(registers, 4) !== 0) return H_PARAMETER;
    put(registers, 4, 0, xics.poll());
    put(registers, 5, 0, xics.mostFavoured);
    return H_SUCCESS;
  });
}
