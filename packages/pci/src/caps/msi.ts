// The MSI capability (PCI Local Bus 3.0 section 6.8.1): one address, up to 32 consecutive vectors in the low bits of
// the data, optional 64-bit address and per-vector mask with pending bits.
// Invariant: a masked vector is remembered in the pending register and sent when its mask is cleared.
import type { ConfigSpace } from "../config-space.ts";
import type { IrqPort } from "../ports.ts";
import {
  PCI_CAP_ID_MSI,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_MASKBIT,
} from "../registers.ts";

export interface MsiOptions {
  /** Vectors the function can use: 1, 2, 4, 8, 16 or 32. Default 1. */
  vectors?: number;
  /** Default true. */
  address64?: boolean;
  /** Per-vector mask and pending bits. Default false. */
  maskable?: boolean;
  at?: number;
}

/** What a message capability needs of its function, of which it is a part. */
export interface MessageCarrier {
  readonly config: ConfigSpace;
  readonly irq: IrqPort;
  /** False: a message is lost. */
  readonly sendsMessages: boolean;
  /** Messages replace the line: enabling them changes what the line shows. */
  updateIntx(): void;
}

export class Msi {
  /** Offset of the capability in configuration space. */
  readonly offset: number;
  readonly vectors: number;
  readonly #device: MessageCarrier;
  readonly #address64: boolean;
  /** Offset of the mask register, 0 when vectors cannot be masked. */
  readonly #maskAt: number;

  constructor(device: MessageCarrier & { msi: Msi | null }, options: MsiOptions = {}) {
    const { vectors = 1, address64 = true, maskable = false, at } = options;
    const { config } = device;
    const dataAt = address64 ? 12 : 8;
    this.#device = device;
    this.vectors = vectors;
    this.#address64 = address64;
    this.offset = config.addCapability(PCI_CAP_ID_MSI, maskable ? dataAt + 12 : dataAt + 2, at);
    this.#maskAt = maskable ? this.offset + dataAt + 4 : 0;
    const flags =
      (Math.log2(vectors) << 1) | (address64 ? PCI_MSI_FLAGS_64BIT : 0) | (maskable ? PCI_MSI_FLAGS_MASKBIT : 0);
    config.define(this.offset + PCI_MSI_FLAGS, 2, { value: flags, write: 0x0070 | PCI_MSI_FLAGS_ENABLE });
    config.define(this.offset + 4, 4, { write: 0xfffffffc });
    if (address64) config.define(this.offset + 8, 4, { write: 0xffffffff });
    config.define(this.offset + dataAt, 2, { write: 0xffff });
    if (maskable) {
      config.define(this.#maskAt, 4, { write: 2 ** vectors - 1 });
      config.define(this.#maskAt + 4, 4, {});
    }
    config.onWrite(this.offset + PCI_MSI_FLAGS, 2, () => this.#clamp());
    config.onWrite(this.offset, maskable ? dataAt + 8 : 4, () => this.#refresh());
    device.msi = this;
  }

  get enabled(): boolean {
    return (this.#device.config.bytes[this.offset + PCI_MSI_FLAGS]! & PCI_MSI_FLAGS_ENABLE) !== 0;
  }

  /** Vectors that software allowed (Multiple Message Enable, clamped to what the function has). */
  get allowed(): number {
    return Math.min(1 << ((this.#device.config.bytes[this.offset + PCI_MSI_FLAGS]! >> 4) & 7), this.vectors);
  }

  /** Where the data is in configuration space; the address is before it, from `offset + 4` on. */
  get dataOffset(): number {
    return this.offset + (this.#address64 ? 12 : 8);
  }

  masked(n: number): boolean {
    return this.#maskAt !== 0 && (this.#device.config.read(this.#maskAt, 4) & (1 << n)) !== 0;
  }

  /** What vector `n` sends: a write of `data` to an address. All vectors have one address. */
  addressHi(_n: number): number {
    return this.#address64 ? this.#device.config.read(this.offset + 8, 4) : 0;
  }

  addressLo(_n: number): number {
    return this.#device.config.read(this.offset + 4, 4);
  }

  data(n: number): number {
    const first = this.#device.config.read(this.offset + (this.#address64 ? 12 : 8), 2);
    return (first & ~(this.allowed - 1)) | n;
  }

  /** Send vector `n`, or note it as pending when masked. Vectors beyond the allowed ones share vector 0. */
  raise(vector: number): void {
    if (!this.enabled) return;
    const n = vector < this.allowed ? vector : 0;
    const { config } = this.#device;
    if (this.masked(n)) {
      config.poke(this.#maskAt + 4, 4, config.read(this.#maskAt + 4, 4) | (1 << n));
      return;
    }
    this.#send(n);
  }

  /** Program address, data and the enable bit as an operating system does. */
  program(addressHi: number, addressLo: number, data: number, enable = true): void {
    const { config } = this.#device;
    config.write(this.offset + 4, 4, addressLo);
    if (this.#address64) config.write(this.offset + 8, 4, addressHi);
    config.write(this.offset + (this.#address64 ? 12 : 8), 2, data);
    const flags = config.read(this.offset + PCI_MSI_FLAGS, 2) & ~PCI_MSI_FLAGS_ENABLE;
    config.write(this.offset + PCI_MSI_FLAGS, 2, enable ? flags | PCI_MSI_FLAGS_ENABLE : flags);
  }

  /** Multiple Message Enable cannot exceed Multiple Message Capable. */
  #clamp(): void {
    const { config } = this.#device;
    const flags = config.read(this.offset + PCI_MSI_FLAGS, 2);
    const most = (flags >> 1) & 7;
    if (((flags >> 4) & 7) > most) config.poke(this.offset + PCI_MSI_FLAGS, 2, (flags & ~0x70) | (most << 4));
  }

  #send(n: number): void {
    const { irq, sendsMessages } = this.#device;
    if (sendsMessages) irq.msi(n, this.addressHi(n), this.addressLo(n), this.data(n));
  }

  #refresh(): void {
    this.#device.updateIntx();
    if (!this.#maskAt || !this.enabled) return;
    const { config } = this.#device;
    const pending = config.read(this.#maskAt + 4, 4);
    const ready = pending & ~config.read(this.#maskAt, 4);
    if (!ready) return;
    config.poke(this.#maskAt + 4, 4, pending & ~ready);
    for (let n = 0; n < this.vectors; n++) if (ready & (1 << n)) this.#send(n);
  }
}
