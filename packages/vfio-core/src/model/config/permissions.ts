/**
 * Who owns each bit of a function's configuration space: two masks per byte.
 *
 * `virt`: the bit lives in the virtual copy and never reaches hardware. `write`: the user may change it.
 * A bit with neither shows hardware and ignores writes. Source: struct perm_bits of vfio_pci_config.c.
 */
export const NONE = 0;
export const ALL = 0xffffffff;

/** Owner of bytes that no visible capability covers: they go straight to hardware. */
export const RAW = 0x1ff;
/** Owner of the first 64 bytes. */
export const HEADER = 0x100;

export class PermissionMap {
  readonly virt: Uint8Array;
  readonly write: Uint8Array;
  /** Per byte: capability id, HEADER or RAW. */
  readonly owner: Uint16Array;
  /** Per byte: where the owning capability starts. */
  readonly start: Uint16Array;

  constructor(size: number) {
    this.virt = new Uint8Array(size);
    this.write = new Uint8Array(size).fill(0xff);
    this.owner = new Uint16Array(size).fill(RAW);
    this.start = new Uint16Array(size);
    for (let i = 0; i < size; i++) this.start[i] = i;
  }

  /** Gives `length` bytes to `id`: readable from hardware, not writable, until rules say more. */
  claim(id: number, at: number, length: number): void {
    for (let i = at; i < Math.min(at + length, this.owner.length); i++) {
      this.owner[i] = id;
      this.start[i] = at;
      this.virt[i] = 0;
      this.write[i] = 0;
    }
  }

  set(at: number, bytes: 1 | 2 | 4, virt: number, write: number): void {
    for (let i = 0; i < bytes && at + i < this.owner.length; i++) {
      // Bytes that the capability is too short for belong to somebody else.
      if (this.start[at + i] !== this.start[at] || this.owner[at + i] !== this.owner[at]) return;
      this.virt[at + i] = (virt >>> (8 * i)) & 0xff;
      this.write[at + i] = (write >>> (8 * i)) & 0xff;
    }
  }

  /** Length of the next access: naturally aligned, at most 4 bytes, inside one owner. */
  chunk(at: number, wanted: number): 1 | 2 | 4 {
    let room = 1;
    while ((at + room) % 4 !== 0 && this.owner[at + room] === this.owner[at]) room++;
    const count = Math.min(wanted, room);
    if (count >= 4 && at % 4 === 0) return 4;
    return count >= 2 && at % 2 === 0 ? 2 : 1;
  }
}
