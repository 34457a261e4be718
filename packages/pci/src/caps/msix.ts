// The MSI-X capability with its table and pending bit array (PBA) inside a BAR (PCI Local Bus 3.0 section 6.8.2).
// Each table entry is address lo/hi, data and a vector control whose bit 0 masks; entries start masked.
// Invariants: a vector that is masked (itself or by the function mask) sets its pending bit once and is sent when both
// masks are clear; the PBA is read-only to software.
import type { BarWidth } from "../bar.ts";
import {
  PCI_CAP_ID_MSIX,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
} from "../registers.ts";
import type { MessageCarrier } from "./msi.ts";

export interface MsixOptions {
  /** 1..2048. */
  vectors: number;
  /** BAR that holds both structures. */
  bar: number;
  /** Offset of the table in the BAR, 8-byte aligned. */
  table: number;
  /** Offset of the pending bits in the BAR, 8-byte aligned. */
  pba: number;
  at?: number;
}

const ENTRY_DWORDS = 4;
const VECTOR_CTRL_MASK = 1;

export class Msix {
  /** Offset of the capability in configuration space. */
  readonly offset: number;
  readonly vectors: number;
  readonly bar: number;
  readonly tableOffset: number;
  readonly pbaOffset: number;
  /** The table as software sees it: four dwords a vector. */
  readonly table: Uint32Array;
  readonly #pending: Uint32Array;
  readonly #device: MessageCarrier;

  constructor(device: MessageCarrier & { msix: Msix | null }, options: MsixOptions) {
    this.#device = device;
    this.vectors = options.vectors;
    this.bar = options.bar;
    this.tableOffset = options.table;
    this.pbaOffset = options.pba;
    this.table = new Uint32Array(options.vectors * ENTRY_DWORDS);
    this.#pending = new Uint32Array(Math.ceil(options.vectors / 64) * 2);
    const { config } = device;
    this.offset = config.addCapability(PCI_CAP_ID_MSIX, 12, options.at);
    const control = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
    config.define(this.offset + PCI_MSIX_FLAGS, 2, { value: options.vectors - 1, write: control });
    config.define(this.offset + PCI_MSIX_TABLE, 4, { value: options.table | options.bar });
    config.define(this.offset + PCI_MSIX_PBA, 4, { value: options.pba | options.bar });
    config.onWrite(this.offset + PCI_MSIX_FLAGS, 2, () => {
      device.updateIntx();
      this.#flush();
    });
    this.reset();
    device.msix = this;
  }

  get enabled(): boolean {
    return (this.#device.config.bytes[this.offset + PCI_MSIX_FLAGS + 1]! & (PCI_MSIX_FLAGS_ENABLE >> 8)) !== 0;
  }

  get functionMasked(): boolean {
    return (this.#device.config.bytes[this.offset + PCI_MSIX_FLAGS + 1]! & (PCI_MSIX_FLAGS_MASKALL >> 8)) !== 0;
  }

  pending(vector: number): boolean {
    return (this.#pending[vector >> 5]! & (1 << (vector & 31))) !== 0;
  }

  masked(vector: number): boolean {
    return this.functionMasked || (this.table[vector * ENTRY_DWORDS + 3]! & VECTOR_CTRL_MASK) !== 0;
  }

  /** What vector `n` sends: a write of `data` to an address. */
  addressHi(n: number): number {
    return this.table[n * ENTRY_DWORDS + 1] ?? 0;
  }

  addressLo(n: number): number {
    return this.table[n * ENTRY_DWORDS] ?? 0;
  }

  data(n: number): number {
    return this.table[n * ENTRY_DWORDS + 2] ?? 0;
  }

  /** Send vector `n`, or set its pending bit when masked. Unknown vectors vanish. */
  raise(vector: number): void {
    if (vector >= this.vectors || !this.enabled) return;
    if (this.masked(vector)) {
      this.#pending[vector >> 5]! |= 1 << (vector & 31);
      return;
    }
    this.#send(vector);
  }

  /** True when a BAR offset belongs to the table or the pending bits. */
  owns(bar: number, offset: number): boolean {
    if (bar !== this.bar) return false;
    const inTable = offset >= this.tableOffset && offset < this.tableOffset + this.table.byteLength;
    return inTable || (offset >= this.pbaOffset && offset < this.pbaOffset + this.#pending.byteLength);
  }

  /** Register read for an offset that {@link owns} accepted. Sub-dword reads get their part of the dword. */
  read(offset: number, width: BarWidth, out: Uint32Array): void {
    const inTable = offset >= this.tableOffset && offset < this.tableOffset + this.table.byteLength;
    const words = inTable ? this.table : this.#pending;
    const at = offset - (inTable ? this.tableOffset : this.pbaOffset);
    const word = words[at >> 2] ?? 0;
    out[1] = width === 8 ? (words[(at >> 2) + 1] ?? 0) : 0;
    out[0] = width >= 4 ? word : (word >>> ((at & 3) * 8)) & (width === 2 ? 0xffff : 0xff);
  }

  /** Register write; only aligned dwords and qwords are defined, everything else and the PBA are ignored. */
  write(offset: number, width: BarWidth, lo: number, hi: number): void {
    const at = offset - this.tableOffset;
    if (width < 4 || at % 4 !== 0 || at < 0 || at >= this.table.byteLength) return;
    this.#writeWord(at >> 2, lo);
    if (width === 8 && at + 4 < this.table.byteLength) this.#writeWord((at >> 2) + 1, hi);
  }

  /** Program one vector and its mask as an operating system does. */
  program(vector: number, addressHi: number, addressLo: number, data: number, masked = false): void {
    const at = vector * ENTRY_DWORDS;
    if (vector >= this.vectors) return;
    this.#writeWord(at, addressLo);
    this.#writeWord(at + 1, addressHi);
    this.#writeWord(at + 2, data);
    this.#writeWord(at + 3, masked ? VECTOR_CTRL_MASK : 0);
  }

  /** Set the enable and function mask bits of the capability. */
  setControl(enable: boolean, functionMask = false): void {
    const value = (enable ? PCI_MSIX_FLAGS_ENABLE : 0) | (functionMask ? PCI_MSIX_FLAGS_MASKALL : 0);
    this.#device.config.write(this.offset + PCI_MSIX_FLAGS, 2, value);
  }

  /** Power-on state: every vector masked, nothing pending. */
  reset(): void {
    this.table.fill(0);
    this.#pending.fill(0);
    for (let n = 0; n < this.vectors; n++) this.table[n * ENTRY_DWORDS + 3] = VECTOR_CTRL_MASK;
  }

  #writeWord(index: number, value: number): void {
    const field = index & 3;
    this.table[index] = field === 3 ? value & VECTOR_CTRL_MASK : field === 0 ? value & ~3 : value;
    if (field === 3) this.#release(index >> 2);
  }

  #release(vector: number): void {
    if (!this.enabled || !this.pending(vector) || this.masked(vector)) return;
    this.#pending[vector >> 5]! &= ~(1 << (vector & 31));
    this.#send(vector);
  }

  #flush(): void {
    for (let n = 0; n < this.vectors; n++) this.#release(n);
  }

  #send(vector: number): void {
    const { irq, sendsMessages } = this.#device;
    if (sendsMessages) irq.msi(vector, this.addressHi(vector), this.addressLo(vector), this.data(vector));
  }
}
