// The recorded outputs' packing: outputs xored with the state they started from. Applying it twice gives the outputs back.

import { type InstructionCase, recordBytes, type StateTables, windowTemplate } from "./instruction-program.ts";

function inputRecord(state: readonly bigint[], bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  const view = new DataView(out.buffer);
  state.forEach((value, i) => {
    view.setBigUint64(i * 8, value, true);
  });
  if (bytes > 72) out.set(windowTemplate(), 72);
  return out;
}

/** Xors every output record with its input record (both ways). */
export function differences(
  outputs: Uint8Array,
  cases: readonly InstructionCase[],
  tables: StateTables,
  offsets: readonly number[],
): Uint8Array {
  const out = new Uint8Array(outputs);
  cases.forEach((c, i) => {
    const bytes = recordBytes(c.table);
    tables[c.table]!.forEach((state, n) => {
      const at = offsets[i]! + n * bytes;
      const input = inputRecord(state, bytes);
      for (let b = 0; b < bytes; b++) out[at + b]! ^= input[b]!;
    });
  });
  return out;
}
