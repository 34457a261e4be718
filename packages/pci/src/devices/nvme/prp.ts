// Physical region pages: how a command says where its data is (NVM Express 1.4 section 4.3). PRP1 may start inside a
// page; what remains is one page in PRP2, or a list of pages at PRP2 whose last entry chains to the next list.
// Neighbouring pages that are contiguous on the bus are merged, so the IOMMU sees few large transfers.
// Invariant: nothing is transferred before the whole map has been checked; work is bounded by the transfer limit.
import type { DmaPort } from "../../ports.ts";
import { DATA_TRANSFER_ERROR, INVALID_PRP_OFFSET, SUCCESS } from "./status.ts";

const ENTRY = 8;
const MIN_PAGE = 4096;
const MAX_PAGE = 65536;
const SECTOR = 512;

export class PrpTransfer {
  /** The bytes on this side of a transfer; a command uses the first `length` of them. */
  readonly buffer: Uint8Array;
  readonly #segmentHi: Uint32Array;
  readonly #segmentLo: Uint32Array;
  readonly #segmentLength: Uint32Array;
  #segments = 0;
  readonly #listWords = new Uint32Array(MAX_PAGE / 4);
  readonly #listBytes = new Uint8Array(this.#listWords.buffer);
  /** Views made once and used again, so that steady I/O allocates nothing: list prefixes, buffer prefixes, single pages. */
  readonly #listViews: Uint8Array[] = [];
  readonly #prefixViews: Uint8Array[] = [];
  readonly #pageViews: Uint8Array[] = [];
  /** Pages of `#source`, the memory that toMemoryFrom() was last given. */
  #sourceViews: Uint8Array[] = [];
  #source: Uint8Array | null = null;

  /** @param maximum largest transfer in bytes, a multiple of 4096 */
  constructor(maximum: number) {
    this.buffer = new Uint8Array(maximum);
    const pages = maximum / MIN_PAGE + 1;
    this.#segmentHi = new Uint32Array(pages);
    this.#segmentLo = new Uint32Array(pages);
    this.#segmentLength = new Uint32Array(pages);
  }

  /** The first `length` bytes of the buffer. */
  prefix(length: number): Uint8Array {
    if (length % SECTOR !== 0) return this.buffer.subarray(0, length);
    return cached(this.#prefixViews, length / SECTOR, this.buffer, 0, length);
  }

  /** Work out where `length` bytes are, from the PRP words of a command (`sqe` dwords 6..9). Returns a status. */
  map(dma: DmaPort, sqe: Uint32Array, length: number, pageSize: number): number {
    const prp1 = sqe[6]!;
    if (prp1 & 3) return INVALID_PRP_OFFSET;
    this.#segments = 0;
    const first = Math.min(pageSize - (prp1 & (pageSize - 1)), length);
    this.#push(sqe[7]!, prp1, first);
    const rest = length - first;
    if (rest === 0) return SUCCESS;
    if (rest > pageSize) return this.#mapList(dma, sqe[9]!, sqe[8]!, rest, pageSize);
    if (sqe[8]! & (pageSize - 1)) return INVALID_PRP_OFFSET;
    this.#push(sqe[9]!, sqe[8]!, rest);
    return SUCCESS;
  }

  /** Move the mapped bytes from the buffer to memory. False: refused. */
  toMemory(dma: DmaPort): boolean {
    let at = 0;
    for (let i = 0; i < this.#segments; i++) {
      const length = this.#segmentLength[i]!;
      if (!dma.write(this.#segmentHi[i]!, this.#segmentLo[i]!, this.#view(at, length))) return false;
      at += length;
    }
    return true;
  }

  /** Move the mapped bytes from `source`, starting at `offset`, to memory, past the buffer. False: refused. */
  toMemoryFrom(dma: DmaPort, source: Uint8Array, offset: number): boolean {
    if (source !== this.#source) {
      this.#source = source;
      this.#sourceViews = [];
    }
    let at = offset;
    for (let i = 0; i < this.#segments; i++) {
      const length = this.#segmentLength[i]!;
      const page = length === MIN_PAGE && at % MIN_PAGE === 0;
      const view = page
        ? cached(this.#sourceViews, at / MIN_PAGE, source, at, length)
        : source.subarray(at, at + length);
      if (!dma.write(this.#segmentHi[i]!, this.#segmentLo[i]!, view)) return false;
      at += length;
    }
    return true;
  }

  /** Move the mapped bytes from memory to the buffer. False: refused. */
  fromMemory(dma: DmaPort): boolean {
    let at = 0;
    for (let i = 0; i < this.#segments; i++) {
      const length = this.#segmentLength[i]!;
      if (!dma.read(this.#segmentHi[i]!, this.#segmentLo[i]!, this.#view(at, length))) return false;
      at += length;
    }
    return true;
  }

  #mapList(dma: DmaPort, hi: number, lo: number, length: number, pageSize: number): number {
    if (lo & (ENTRY - 1)) return INVALID_PRP_OFFSET;
    let rest = length;
    let listHi = hi;
    let listLo = lo;
    while (rest > 0) {
      const room = (pageSize - (listLo & (pageSize - 1))) / ENTRY;
      const entries = Math.min(room, Math.ceil(rest / pageSize));
      if (!dma.read(listHi, listLo, this.#listView(entries))) return DATA_TRANSFER_ERROR;
      for (let i = 0; i < entries; i++) {
        const entryLo = this.#listWords[i * 2]!;
        const entryHi = this.#listWords[i * 2 + 1]!;
        if (entryLo & (pageSize - 1)) return INVALID_PRP_OFFSET;
        if (i === room - 1 && rest > pageSize) {
          listHi = entryHi;
          listLo = entryLo;
          break;
        }
        const step = Math.min(pageSize, rest);
        this.#push(entryHi, entryLo, step);
        rest -= step;
      }
    }
    return SUCCESS;
  }

  #push(hi: number, lo: number, length: number): void {
    const last = this.#segments - 1;
    if (last >= 0) {
      const end = this.#segmentLo[last]! + this.#segmentLength[last]!;
      if (end < 0x1_0000_0000 && end === lo && this.#segmentHi[last] === hi) {
        this.#segmentLength[last]! += length;
        return;
      }
    }
    this.#segmentHi[this.#segments] = hi;
    this.#segmentLo[this.#segments] = lo;
    this.#segmentLength[this.#segments] = length;
    this.#segments++;
  }

  #view(at: number, length: number): Uint8Array {
    if (at === 0) return this.prefix(length);
    if (length !== MIN_PAGE || at % MIN_PAGE !== 0) return this.buffer.subarray(at, at + length);
    return cached(this.#pageViews, at / MIN_PAGE, this.buffer, at, length);
  }

  #listView(entries: number): Uint8Array {
    return cached(this.#listViews, entries, this.#listBytes, 0, entries * ENTRY);
  }
}

/** The view kept under `key`, made on first use. */
function cached(views: Uint8Array[], key: number, bytes: Uint8Array, at: number, length: number): Uint8Array {
  const known = views[key];
  if (known !== undefined) return known;
  const view = bytes.subarray(at, at + length);
  views[key] = view;
  return view;
}
