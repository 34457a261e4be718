/** Peer-to-peer: device DMA that goes to a BAR of another function, in accesses of at most 4 bytes as the bus splits them. */
import type { PciTopology } from "@minivmm/pci";
import type { PeerAccess } from "./dma-table.ts";

export class BusPeers implements PeerAccess {
  readonly #topology: PciTopology;
  readonly #out = new Uint32Array(2);

  constructor(topology: PciTopology) {
    this.#topology = topology;
  }

  read(physical: number, into: Uint8Array): boolean {
    return this.#each(physical, into, (fn, bar, offset, width, at) => {
      fn.readBar(bar, offset, width, this.#out);
      for (let i = 0; i < width; i++) into[at + i] = (this.#out[0] as number) >>> (8 * i);
    });
  }

  write(physical: number, from: Uint8Array): boolean {
    return this.#each(physical, from, (fn, bar, offset, width, at) => {
      let value = 0;
      for (let i = 0; i < width; i++) value |= (from[at + i] as number) << (8 * i);
      fn.writeBar(bar, offset, width, value >>> 0, 0);
    });
  }

  #each(physical: number, bytes: Uint8Array, access: BarAccess): boolean {
    for (let at = 0; at < bytes.length; ) {
      const target = this.#topology.decode(physical + at);
      if (!target) return false;
      const width = widest(target.offset, bytes.length - at);
      access(target.fn, target.bar, target.offset, width, at);
      at += width;
    }
    return true;
  }
}

type BarAccess = (
  fn: PciTopology["functions"][number],
  bar: number,
  offset: number,
  width: 1 | 2 | 4,
  at: number,
) => void;

/** The widest naturally aligned access. */
function widest(offset: number, left: number): 1 | 2 | 4 {
  if (offset % 4 === 0 && left >= 4) return 4;
  return offset % 2 === 0 && left >= 2 ? 2 : 1;
}
