// RAM of machine pc: one piece from 0 up to the hole below 4 GiB, and the rest from 4 GiB on. A piece is memory of this
// process that threads, KVM's slots and the IOMMU all refer to where it lies.
// Invariant: an access lies in one piece or is refused.
import { GuestMemory } from "@minivmm/host";
import type { DmaPort } from "@minivmm/pci/function";
import { HIGH_RAM_START } from "./memory-map.ts";
import type { SharedRam } from "./shared-ram.ts";

export { allocateRam, type SharedRam } from "./shared-ram.ts";

export interface RamPiece {
  /** Guest physical address of its first byte. */
  readonly start: number;
  readonly memory: GuestMemory;
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
