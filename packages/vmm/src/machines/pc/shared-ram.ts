// The memory behind the RAM of machine pc, as threads hand it to one another: shared memory of this process, in pieces that
// are page aligned and no larger than one typed array can show. There is one from 0 up to the hole below 4 GiB, and the
// rest lies from 4 GiB on.
import { VmmError } from "../../errors.ts";
import { HIGH_RAM_START, LOW_RAM_END } from "./memory-map.ts";

export interface SharedRam {
  readonly pieces: readonly { readonly start: number; readonly buffer: SharedArrayBuffer }[];
}

/** Low RAM is one piece, so that what is loaded there lies in one. */
const PIECE_MAX = LOW_RAM_END;

/** Throws VmmError USAGE_MEMORY_TOO_LARGE when this process cannot have so much. */
export function allocateRam(bytes: number): SharedRam {
  const pieces: { start: number; buffer: SharedArrayBuffer }[] = [];
  let start = 0;
  let left = bytes;
  while (left > 0) {
    const end = start < LOW_RAM_END ? LOW_RAM_END : Number.POSITIVE_INFINITY;
    const size = Math.min(left, PIECE_MAX, end - start);
    pieces.push({ start, buffer: sharedMemory(size, bytes) });
    left -= size;
    start += size;
    if (start === LOW_RAM_END) start = HIGH_RAM_START;
  }
  return { pieces };
}

/** Growable shared memory begins at a page; other buffers need not. */
function sharedMemory(size: number, whole: number): SharedArrayBuffer {
  try {
    const Growable = SharedArrayBuffer as unknown as new (
      size: number,
      o: { maxByteLength: number },
    ) => SharedArrayBuffer;
    return new Growable(size, { maxByteLength: size });
  } catch (cause) {
    throw new VmmError(`there is no memory for a guest with ${whole / 2 ** 20} MiB`, {
      code: "USAGE_MEMORY_TOO_LARGE",
      details: { bytes: whole },
      hint: "give the guest less memory (-m), or look at the address space limit (ulimit -v)",
      cause,
    });
  }
}
