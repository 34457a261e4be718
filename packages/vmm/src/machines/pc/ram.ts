// RAM of machine pc: one piece from 0 up to the hole below 4 GiB, and the rest from 4 GiB on. A piece is shared memory of
// this process, page aligned, that threads, KVM's slots and the IOMMU all refer to where it lies.
// Invariant: an access lies in one piece or is refused; no piece is larger than one typed array can show.
import { GuestMemory } from "@minivmm/host";
import type { DmaPort } from "@minivmm/pci/function";
import { VmmError } from "../../errors.ts";
import { HIGH_RAM_START, LOW_RAM_END } from "./memory-map.ts";

export interface RamPiece {
  /** Guest physical address of its first byte. */
  readonly start: number;
  readonly memory: GuestMemory;
}

/** As it is handed to another thread. */
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

export class PcRam {
  readonly pieces: readonly RamPiece[];
  /** Bytes of all pieces. */
  readonly size: number;
  /** First address behind the highest piece. */
  readonly end: number;
  private last: RamPiece;

  constructor(shared: SharedRam) {
    this.pieces = shared.pieces.map(({ start, buffer }) => ({
      start,
      memory: new GuestMemory(buffer, 0, buffer.byteLength),
    }));
    this.size = this.pieces.reduce((sum, { memory }) => sum + memory.size, 0);
    this.last = this.pieces[0] as RamPiece;
    const highest = this.pieces[this.pieces.length - 1] as RamPiece;
    this.end = highest.start + highest.memory.size;
  }

  /** RAM from 0 up. */
  get low(): GuestMemory {
    return (this.pieces[0] as RamPiece).memory;
  }

  /** Bytes from 4 GiB on. */
  get highBytes(): number {
    return Math.max(this.end - HIGH_RAM_START, 0);
  }

  /** The piece that holds all of a range, undefined when none does. */
  pieceOf(address: number, length: number): RamPiece | undefined {
    if (holds(this.last, address, length)) return this.last;
    for (const piece of this.pieces) {
      if (!holds(piece, address, length)) continue;
      this.last = piece;
      return piece;
    }
    return undefined;
  }
}

function holds({ start, memory }: RamPiece, address: number, length: number): boolean {
  return address >= start && address + length <= start + memory.size;
}

/** DMA of an emulated device: bus addresses are guest physical ones. A range may go on in the next piece. */
export function ramDma(ram: PcRam): DmaPort {
  const copy = (hi: number, lo: number, bytes: Uint8Array, write: boolean): boolean => {
    if (hi >= 0x20_0000) return false;
    let address = hi * 0x1_0000_0000 + lo;
    let done = 0;
    while (done < bytes.length) {
      const piece = ram.pieceOf(address, 1);
      if (piece === undefined) return false;
      const at = address - piece.start;
      const size = Math.min(bytes.length - done, piece.memory.size - at);
      const part = bytes.subarray(done, done + size);
      if (write) piece.memory.writeBytes(at, part);
      else piece.memory.readBytes(at, part);
      done += size;
      address += size;
    }
    return true;
  };
  return {
    read: (hi, lo, into) => copy(hi, lo, into, false),
    write: (hi, lo, from) => copy(hi, lo, from, true),
  };
}
