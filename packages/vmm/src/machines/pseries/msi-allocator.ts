// Message interrupt numbers: a function gets a block of consecutive sources, whose first is the data of its vector 0.
// Multi-message MSI needs the block aligned to its (power of two) size, because the device puts the vector into the
// low bits of the data.
import { IRQ_MSI_FIRST, XICS_IRQ_BASE, XICS_IRQ_COUNT } from "./memory-map.ts";
import type { Xics } from "./xics.ts";

export interface MsiBlock {
  readonly first: number;
  readonly count: number;
  readonly kind: "msi" | "msix";
}

const LIMIT = XICS_IRQ_BASE + XICS_IRQ_COUNT;

export class MsiAllocator {
  private readonly xics: Xics;
  private readonly blocks = new Map<number, MsiBlock>();

  constructor(xics: Xics) {
    this.xics = xics;
  }

  /** The block of the function at a configuration address. */
  blockOf(configAddress: number): MsiBlock | undefined {
    return this.blocks.get(configAddress);
  }

  release(configAddress: number): void {
    const block = this.blocks.get(configAddress);
    if (block === undefined) return;
    for (let i = 0; i < block.count; i++) this.xics.release(block.first + i);
    this.blocks.delete(configAddress);
  }

  /** Replaces the function's block. Undefined (and the old block kept) when no room is left. */
  allocate(configAddress: number, count: number, kind: "msi" | "msix", label: string): MsiBlock | undefined {
    const alignment = kind === "msi" ? 2 ** Math.ceil(Math.log2(count)) : 1;
    const first = this.findFree(count, alignment, configAddress);
    if (first < 0) return undefined;
    this.release(configAddress);
    for (let i = 0; i < count; i++) this.xics.claim(first + i, "edge", label);
    const block: MsiBlock = { first, count, kind };
    this.blocks.set(configAddress, block);
    return block;
  }

  private findFree(count: number, alignment: number, replacing: number): number {
    const others = [...this.blocks].filter(([address]) => address !== replacing).map(([, block]) => block);
    for (let first = IRQ_MSI_FIRST; first + count <= LIMIT; first += alignment) {
      if (!others.some((block) => first < block.first + block.count && block.first < first + count)) return first;
    }
    return -1;
  }
}
