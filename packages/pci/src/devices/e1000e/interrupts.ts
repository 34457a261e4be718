// Interrupt causes of the 82574L (datasheet sections 7.4 and 10.2.4): ICR with its set and mask registers, and how causes
// reach the pin, the one MSI vector, or five MSI-X vectors that IVAR assigns to two receive and two transmit queues and
// everything else.
// Invariants: bit 31 of ICR says that an unmasked cause is there; a cause that raises an MSI-X vector is taken out of
// ICR and, where EIAC says so, needs no reading.

export const CAUSE_TXDW = 0x0000_0001;
export const CAUSE_TXQE = 0x0000_0002;
export const CAUSE_LSC = 0x0000_0004;
export const CAUSE_RXT0 = 0x0000_0080;
export const CAUSE_RXO = 0x0000_0040;
export const CAUSE_MDAC = 0x0000_0200;
export const CAUSE_RXQ0 = 0x0010_0000;
export const CAUSE_TXQ0 = 0x0040_0000;
export const CAUSE_OTHER = 0x0100_0000;
const ASSERTED = 0x8000_0000;
/** Receive queues 0 and 1, transmit queues 0 and 1, other: in the order of IVAR's fields. */
const MSIX_CAUSES = 5;
const FIRST_MSIX_CAUSE = 20;
/** Causes that share the vector of "other". */
const OTHERS = CAUSE_LSC | CAUSE_RXO | CAUSE_MDAC | 0x0007_8000;
const CAUSES = 0x01f7_ffff;
const IVAR_VALID = 8;

export interface InterruptLines {
  readonly messages: "msix" | "msi" | "none";
  signal(vector: number): boolean;
  pin(level: boolean): void;
}

/** What the registers beside say: interrupt acknowledge auto-mask and the assignment of vectors. */
export interface InterruptSettings {
  readonly ivar: number;
  readonly eiac: number;
  readonly iam: number;
  /** CTRL_EXT.IAME */
  readonly autoMask: boolean;
}

export class E1000eInterrupts {
  readonly #lines: InterruptLines;
  readonly #settings: InterruptSettings;
  #causes = 0;
  #mask = 0;
  #asserted = false;

  constructor(lines: InterruptLines, settings: InterruptSettings) {
    this.#lines = lines;
    this.#settings = settings;
  }

  get mask(): number {
    return this.#mask;
  }

  reset(): void {
    this.#causes = 0;
    this.#mask = 0;
    this.#asserted = false;
    this.#lines.pin(false);
  }

  /** What ICR shows, without the effects of reading it. */
  get causes(): number {
    return (this.#causes | (this.#causes & this.#mask ? ASSERTED : 0)) >>> 0;
  }

  /** A read of ICR: acknowledges every cause, unless MSI-X does that by vector. */
  acknowledge(): number {
    const value = this.causes;
    const { autoMask, iam } = this.#settings;
    const automatic = autoMask && (value & ASSERTED) !== 0;
    if (automatic) this.#mask = (this.#mask & ~iam) >>> 0;
    if (this.#lines.messages !== "msix" || this.#mask === 0 || automatic) this.#causes = 0;
    this.#update();
    return value;
  }

  clear(bits: number): void {
    this.#causes = (this.#causes & ~bits) >>> 0;
    this.#update();
  }

  raise(bits: number): void {
    this.#causes = (this.#causes | (bits & CAUSES)) >>> 0;
    if (this.#lines.messages === "msix" && bits & OTHERS) this.#causes |= CAUSE_OTHER;
    // Each cause is an event of its own, so a message goes out although one is on its way already.
    this.#asserted = false;
    this.#update();
  }

  enable(bits: number): void {
    this.#mask = (this.#mask | (bits & CAUSES)) >>> 0;
    this.#update();
  }

  disable(bits: number): void {
    this.#mask = (this.#mask & ~bits) >>> 0;
    this.#update();
  }

  #update(): void {
    const wanted = (this.#causes & this.#mask) !== 0;
    switch (this.#lines.messages) {
      case "msix":
        if (wanted) this.#sendVectors();
        break;
      case "msi":
        if (wanted && !this.#asserted) this.#lines.signal(0);
        break;
      default:
        this.#lines.pin(wanted);
    }
    this.#asserted = wanted;
  }

  #sendVectors(): void {
    const { ivar, eiac } = this.#settings;
    for (let n = 0; n < MSIX_CAUSES; n++) {
      const cause = 1 << (FIRST_MSIX_CAUSE + n);
      const entry = (ivar >>> (n * 4)) & 0xf;
      if (!(this.#causes & this.#mask & cause) || !(entry & IVAR_VALID)) continue;
      this.#lines.signal(entry & 7);
      this.#causes = (this.#causes & ~(cause | (eiac & cause))) >>> 0;
      if (this.#settings.autoMask && eiac & cause) this.#mask = (this.#mask & ~cause) >>> 0;
    }
  }
}
