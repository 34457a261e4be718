// The initiator's buffers of one SRP command: data buffer descriptors, direct or indirect, and the moving of data
// through them. Source: SRP revision 16a section 5.6.2 (data buffer descriptor formats).
// Invariants: descriptors are fetched once, so a guest that changes them meanwhile changes nothing; a command has at most
// DESCRIPTORS_MAX of each direction, which bounds the work; every byte goes through the device's DMA port. The total that
// an indirect buffer names besides its list is not needed and not believed.
import type { DmaPort } from "@minivmm/pci";
import type { ScsiData } from "../scsi/command.ts";
import { DATA_PHASE_ERROR, INVALID_FIELD_IN_IU, SENSE_NONE } from "../scsi/sense.ts";
import {
  CMD,
  DIRECT_BUF_BYTES,
  INDIRECT_BUF_BYTES,
  SRP_DATA_DESC_DIRECT,
  SRP_DATA_DESC_INDIRECT,
  SRP_NO_DATA_DESC,
} from "./srp.ts";

/** Twice what 2 MiB in pages of 4 KiB take. */
export const DESCRIPTORS_MAX = 1024;

/** The buffers of one direction. */
export class BufferList {
  /** Room in all of them. */
  total = 0;
  /** Bytes that went through. */
  moved = 0;
  /** Bytes that should have gone through; more than `total` is an overflow. */
  wanted = 0;
  private readonly dma: DmaPort;
  private readonly list = new Uint8Array(DESCRIPTORS_MAX * DIRECT_BUF_BYTES);
  private readonly view = new DataView(this.list.buffer);
  private count = 0;
  private index = 0;
  /** Bytes used of the buffer at `index`. */
  private used = 0;

  constructor(dma: DmaPort) {
    this.dma = dma;
  }

  clear(): void {
    this.total = 0;
    this.moved = 0;
    this.wanted = 0;
    this.count = 0;
    this.index = 0;
    this.used = 0;
  }

  /** One descriptor at `at` of an IU. */
  loadDirect(iu: Uint8Array, at: number): number {
    this.list.set(iu.subarray(at, at + DIRECT_BUF_BYTES), 0);
    return this.take(1);
  }

  /**
   * An indirect buffer at `at` of an IU, of whose list `inline` entries follow. A list that is not all there is read
   * from where its table descriptor says. Returns the sense.
   */
  loadIndirect(iu: Uint8Array, at: number, inline: number): number {
    const head = new DataView(iu.buffer, iu.byteOffset + at, INDIRECT_BUF_BYTES);
    const bytes = head.getUint32(12);
    const count = bytes / DIRECT_BUF_BYTES;
    if (!Number.isInteger(count) || count > DESCRIPTORS_MAX) return INVALID_FIELD_IN_IU;
    if (count <= inline) {
      const from = at + INDIRECT_BUF_BYTES;
      this.list.set(iu.subarray(from, from + bytes), 0);
    } else if (!this.dma.read(head.getUint32(0), head.getUint32(4), this.list.subarray(0, bytes))) {
      return DATA_PHASE_ERROR;
    }
    return this.take(count);
  }

  /** Moves `bytes` to the initiator (or, `toDevice`, from it), as far as there is room. False: memory not reachable. */
  move(bytes: Uint8Array, toDevice: boolean): boolean {
    const { dma, view } = this;
    this.wanted += bytes.length;
    for (let at = 0; at < bytes.length && this.index < this.count; ) {
      const entry = this.index * DIRECT_BUF_BYTES;
      const length = view.getUint32(entry + 12);
      const chunk = Math.min(length - this.used, bytes.length - at);
      if (chunk > 0) {
        const low = view.getUint32(entry + 4) + this.used;
        const carry = low >= 0x1_0000_0000 ? 1 : 0;
        const hi = (view.getUint32(entry) + carry) >>> 0;
        const piece = chunk === bytes.length ? bytes : bytes.subarray(at, at + chunk);
        if (!(toDevice ? dma.read(hi, low >>> 0, piece) : dma.write(hi, low >>> 0, piece))) return false;
      }
      at += chunk;
      this.used += chunk;
      this.moved += chunk;
      if (this.used === length) {
        this.index++;
        this.used = 0;
      }
    }
    return true;
  }

  private take(count: number): number {
    this.count = count;
    for (let i = 0; i < count; i++) this.total += this.view.getUint32(i * DIRECT_BUF_BYTES + 12);
    return SENSE_NONE;
  }
}

/** Both directions of a command: what it sends comes first in the IU. */
export class SrpData implements ScsiData {
  readonly out: BufferList;
  readonly in: BufferList;

  constructor(dma: DmaPort) {
    this.out = new BufferList(dma);
    this.in = new BufferList(dma);
  }

  get outBytes(): number {
    return this.out.total;
  }

  send(bytes: Uint8Array): boolean {
    return this.in.move(bytes, false);
  }

  receive(into: Uint8Array): boolean {
    return this.out.move(into, true);
  }

  /** Reads the descriptors of an SRP_CMD of `length` bytes. Returns the sense. */
  load(iu: Uint8Array, length: number): number {
    this.out.clear();
    this.in.clear();
    const formats = iu[CMD.buf_fmt]!;
    // The length of an additional CDB is in 4-byte words, above two reserved bits.
    const at = CMD.add_data + (iu[CMD.add_cdb_len]! & ~3);
    const outEnd = descriptorsEnd(at, formats >>> 4, iu[CMD.data_out_desc_cnt]!);
    const inEnd = descriptorsEnd(outEnd, formats & 0xf, iu[CMD.data_in_desc_cnt]!);
    if (!(inEnd <= length)) return INVALID_FIELD_IN_IU;
    const wrong = loadOne(this.out, iu, at, formats >>> 4, iu[CMD.data_out_desc_cnt]!);
    if (wrong !== SENSE_NONE) return wrong;
    return loadOne(this.in, iu, outEnd, formats & 0xf, iu[CMD.data_in_desc_cnt]!);
  }
}

/** Where the descriptors of a format that begin at `at` end; NaN for a format that does not exist. */
function descriptorsEnd(at: number, format: number, inline: number): number {
  switch (format) {
    case SRP_NO_DATA_DESC:
      return at;
    case SRP_DATA_DESC_DIRECT:
      return at + DIRECT_BUF_BYTES;
    case SRP_DATA_DESC_INDIRECT:
      return at + INDIRECT_BUF_BYTES + inline * DIRECT_BUF_BYTES;
    default:
      return Number.NaN;
  }
}

function loadOne(list: BufferList, iu: Uint8Array, at: number, format: number, inline: number): number {
  if (format === SRP_DATA_DESC_DIRECT) return list.loadDirect(iu, at);
  return format === SRP_DATA_DESC_INDIRECT ? list.loadIndirect(iu, at, inline) : SENSE_NONE;
}
