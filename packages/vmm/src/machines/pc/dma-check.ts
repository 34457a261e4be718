// The checker of DMA on machine pc, where bus addresses are guest physical ones: there is no IOMMU of the guest's, so nothing is
// mapped and nothing can be used after that; and what x86 has in its caches nobody can see. A request to what is no RAM remains,
// which reaches nothing.
// Invariant: a request is looked at before it is made, and made all the same.
import type { DmaWatch } from "@minivmm/pci";
import type { DmaPort } from "@minivmm/pci/function";
import { address, type CoherencyLog } from "../../coherency/report.ts";
import type { PcRam } from "./ram.ts";

export interface PcDmaCheckOptions {
  readonly ram: PcRam;
  readonly log: CoherencyLog;
  /** Instruction pointer of the CPU that was answered last, as KVM has it: a store to a device is behind it. */
  readonly pc: () => bigint | null;
}

interface Extent {
  readonly hi: number;
  readonly lo: number;
  readonly length: number;
  readonly write: boolean;
}

/** Addresses that are exact numbers. */
const EXACT_HI = 0x20_0000;

export class PcDmaCheck {
  private readonly options: PcDmaCheckOptions;

  constructor(options: PcDmaCheckOptions) {
    this.options = options;
  }

  /** The same memory, with each request looked at. */
  guard(device: string, dma: DmaPort): DmaPort {
    return {
      read: (hi, lo, into, attributes) => {
        this.look(device, { hi, lo, length: into.length, write: false });
        return dma.read(hi, lo, into, attributes);
      },
      write: (hi, lo, from, attributes) => {
        this.look(device, { hi, lo, length: from.length, write: true });
        return dma.write(hi, lo, from, attributes);
      },
    };
  }

  /** For functions of a host that tells of their DMA. `names`: what the user calls them, by address there. */
  watch(names: ReadonlyMap<string, string>): DmaWatch {
    return {
      before: (request) => {
        const device = names.get(request.function);
        if (device !== undefined) this.look(device, request);
      },
      after: () => undefined,
    };
  }

  private look(device: string, { hi, lo, length, write }: Extent): void {
    const { ram, log, pc } = this.options;
    const start = hi * 2 ** 32 + lo;
    const bad = hi < EXACT_HI ? firstOutside(ram, start, length) : start;
    if (bad === undefined) return;
    const [busHi, busLo] = bad === start ? [hi, lo] : [Math.floor(bad / 2 ** 32), bad % 2 ** 32];
    const describe = () => ({
      pc: pc(),
      mapping: `nothing: RAM is ${pieces(ram)}`,
      missing: "an address of RAM",
    });
    log.add({ kind: "outside", device, write, busHi, busLo, page: null, describe });
  }
}

function firstOutside(ram: PcRam, start: number, length: number): number | undefined {
  for (let at = start; at < start + length; ) {
    const piece = ram.pieceOf(at, 1);
    if (piece === undefined) return at;
    at = piece.start + piece.memory.size;
  }
  return undefined;
}

function pieces(ram: PcRam): string {
  const end = (value: number): string => address(Math.floor(value / 2 ** 32), value % 2 ** 32);
  return ram.pieces.map(({ start, memory }) => `${end(start)} to ${end(start + memory.size)}`).join(", ");
}
