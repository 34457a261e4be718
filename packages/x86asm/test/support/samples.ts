// All samples by mode; the recording has the bytes that GNU as makes of them.
// Branches say {disp32} or {disp16} or reach far, since this assembler does not shorten them.
import { cl, eax, ecx, MNEMONICS, type Mnemonic } from "../../src/index.ts";
import type { Sample } from "./sample.ts";
import { SAMPLES_16 } from "./samples-16.ts";
import { SAMPLES_64 } from "./samples-64.ts";
import { SAMPLES_64_SYSTEM } from "./samples-64-system.ts";

/** Every condition, as a branch, a byte set and a move. */
const CONDITIONAL: readonly Sample[] = MNEMONICS.flatMap((name): Sample[] => {
  const condition = /^set(.*)/.exec(name)?.[1];
  if (condition === undefined) return [];
  return [
    [`set${condition} cl`, (a) => a.emit(name, cl)],
    [`cmov${condition} eax, ecx`, (a) => a.emit(`cmov${condition}` as Mnemonic, eax, ecx)],
    [
      `1: {disp32} j${condition} 1b`,
      (a) => {
        a.label("b");
        a.emit(`j${condition}` as Mnemonic, "b");
      },
    ],
  ];
});

export const SAMPLES: Readonly<Record<16 | 64, readonly Sample[]>> = {
  16: SAMPLES_16,
  64: [...SAMPLES_64, ...SAMPLES_64_SYSTEM, ...CONDITIONAL],
};
