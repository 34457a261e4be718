// Binary statistics of a VM or vCPU: a file that says itself what it counts. Source: virt/kvm/binary_stats.c.
// Layout: header, id string, descriptors (each with its name), one 64-bit number for each.
// The model counts some things under names of its own beside the kernel's: readers take what they find.

import { O_RDONLY } from "@minivmm/host";
import { type FileOps, OpenFile } from "@minivmm/host/model";
import { kvm_stats_desc, kvm_stats_header } from "../uapi.ts";

const NAME_BYTES = 48;
const DESCRIPTOR_BYTES = kvm_stats_desc.size + NAME_BYTES;

export interface StatsOwner {
  /** "kvm-1/vcpu-0". */
  readonly id: string;
  /** Names of at most 47 characters and their values now. */
  readonly values: () => Readonly<Record<string, number>>;
  /** What the open file keeps alive. */
  readonly file: OpenFile;
}

/** An open statistics file. */
export function statsFile(owner: StatsOwner): OpenFile {
  owner.file.get();
  return new OpenFile(new StatsFile(owner), O_RDONLY);
}

class StatsFile implements FileOps {
  readonly kind = "kvm-stats";
  readonly #owner: StatsOwner;

  constructor(owner: StatsOwner) {
    this.#owner = owner;
  }

  pread(into: Uint8Array, offset: number): number {
    const bytes = encode(this.#owner.id, this.#owner.values()).subarray(offset, offset + into.length);
    into.set(bytes);
    return bytes.length;
  }

  read(into: Uint8Array, file: OpenFile): number {
    const moved = this.pread(into, file.position);
    file.position += moved;
    return moved;
  }

  release(): void {
    this.#owner.file.put();
  }
}

function encode(id: string, values: Readonly<Record<string, number>>): Uint8Array {
  const entries = Object.entries(values);
  const idOffset = kvm_stats_header.size;
  const descOffset = idOffset + NAME_BYTES;
  const dataOffset = descOffset + entries.length * DESCRIPTOR_BYTES;
  const bytes = new Uint8Array(dataOffset + 8 * entries.length);
  const view = new DataView(bytes.buffer);
  const text = new TextEncoder();
  kvm_stats_header.encode(
    {
      name_size: NAME_BYTES,
      num_desc: entries.length,
      id_offset: idOffset,
      desc_offset: descOffset,
      data_offset: dataOffset,
    },
    bytes,
  );
  bytes.set(text.encode(id).subarray(0, NAME_BYTES - 1), idOffset);
  entries.forEach(([name, value], n) => {
    const at = descOffset + n * DESCRIPTOR_BYTES;
    kvm_stats_desc.write(view, at, { ...kvm_stats_desc.zero(), size: 1, offset: 8 * n });
    bytes.set(text.encode(name).subarray(0, NAME_BYTES - 1), at + kvm_stats_desc.size);
    view.setBigUint64(dataOffset + 8 * n, BigInt(value), true);
  });
  return bytes;
}
