// H_PUT_TERM_CHAR and H_GET_TERM_CHAR: up to 16 characters in two registers, the first in the most significant byte.
// Source: PAPR 2.7 section 16.5 (virtual terminal).

import { H_GET_TERM_CHAR, H_PARAMETER, H_PUT_TERM_CHAR, H_SUCCESS } from "@minivmm/kvm";
import type { Vty } from "../vty.ts";
import { type HcallTable, hi, lo, put, small } from "./table.ts";

const CHARACTERS_MAX = 16;

export function registerConsoleHcalls(table: HcallTable, vty: Vty): void {
  const packed = new Uint8Array(CHARACTERS_MAX);
  const view = new DataView(packed.buffer);

  table.register(H_PUT_TERM_CHAR, "H_PUT_TERM_CHAR", (registers) => {
    const length = small(registers, 5);
    if (!vty.answersTo(small(registers, 4)) || length < 0 || length > CHARACTERS_MAX) return H_PARAMETER;
    view.setUint32(0, hi(registers, 6));
    view.setUint32(4, lo(registers, 6));
    view.setUint32(8, hi(registers, 7));
    view.setUint32(12, lo(registers, 7));
    vty.output(packed, length);
    return H_SUCCESS;
  });

  table.register(H_GET_TERM_CHAR, "H_GET_TERM_CHAR", (registers) => {
    if (!vty.answersTo(small(registers, 4))) return H_PARAMETER;
    packed.fill(0);
    const length = vty.input(packed);
    put(registers, 4, 0, length);
    put(registers, 5, view.getUint32(0), view.getUint32(4));
    put(registers, 6, view.getUint32(8), view.getUint32(12));
    return H_SUCCESS;
  });
}
