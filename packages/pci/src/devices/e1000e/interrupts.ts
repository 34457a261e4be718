// Interrupt causes of the 82574L (datasheet sections 7.4 and 10.2.4): ICR with its set and mask registers, and how causes
// reach the pin, the one MSI vector, or five MSI-X vectors that IVAR assigns to two receive and two transmit queues and
// everything else.
// Invariants: bit 31 of ICR says that a cause is there, masked or not; ICS shows the causes as they were before MSI-X
// took away those that EIAC names; a message goes out once for a cause, until that cause or its mask has been cleared.

export const CAUSE_TXDW = 0x0000_0001;
export const CAUSE_TXQE = 0x0000_0002;
export const CAUSE_LSC = 0x0000_0004;
export const CAUSE_RXO = 0x0000_0040;
export const CAUSE_RXT0 = 0x0000_0080;
export const CAUSE_MDAC = 0x0000_0200;
export const CAUSE_RXQ0 = 0x0010_0000;
export const CAUSE_TXQ0 = 0x0040_0000;
export const CAUSE_OTHER = 0x0100_0000;
const ASSERTED = 0x8000_0000;
/** Receive queues 0 and 1, transmit queues 0 and 1, other: in the order of IVAR's fields. */
const MSIX_CAUSES = 5;
const FIRST_MSIX_CAUSE = 20;
/** Causes that share the vector of "other": link, overrun, management, small packet, acknowledge, PHY access. */
const OTHERS = CAUSE_LSC | CAUSE_RXO | CAUSE_MDAC | 0x0007_0000;
/** Causes that exist. */
const MASKABLE = 0x01f7_82d7;
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
  #shown = 0;
  #mask = 0;
  /** Causes that a message has been sent for. */
  #told = 0;

  constructor(lines: InterruptLines, settings: InterruptSettings) {
    this.#lines = lines;
    this.#settings = settings;
  }

  get mask(): number {
    return this.#mask;
  }
  /** What ICS reads. */
  get shown(): number {
    return this.#shown;
  }

  reset(): void {
    this.#causes = 0;
    this.#shown = 0;
    this.#mask = 0;
    this.#told = 0;
    this.#lines.pin(false);
  }

  /** A read of ICR: acknowledges every cause, unless MSI-X does that by vector. */
  acknowledge(): number {
    const value = this.#causes;
    if (this.#mask === 0 || this.#lines.messages !== "msix") this.#causes = 0;
    if (this.#causes & ASSERTED && this.#settings.autoMask) {
      this.#causes = 0;
      this.#mask = (this.#mask & ~this.#settings.iam) >>> 0;
    }
    this.#update();
    return value;
  }

  /** A write of ICR. Clearing "other" clears what it stands for. */
  clear(bits: number): void {
    if (this.#causes & ASSERTED && this.#settings.autoMask) this.#mask = (this.#mask & ~this.#settings.iam) >>> 0;
    this.#causes = (this.#causes & ~bits & (bits & CAUSE_OTHER ? ~OTHERS : -1)) >>> 0;
    this.#update();
  }

  raise(bits: number): void {
    this.#causes = (this.#causes | bits) >>> 0;
    this.#update();
  }

  enable(bits: number): void {
    this.#mask = (this.#mask | (bits & MASKABLE)) >>> 0;
    this.#update();
  }

  disable(bits: number): void {
    this.#mask = (this.#mask & ~bits) >>> 0;
    this.#update();
  }

  #update(): void {
    const { messages } = this.#lines;
    if (messages === "msix" && this.#causes & OTHERS) this.#causes |= CAUSE_OTHER;
    const causes = this.#causes & ~ASSERTED;
    this.#causes = (causes | (causes ? ASSERTED : 0)) >>> 0;
    this.#shown = this.#causes;
    const pending = this.#causes & this.#mask & ~ASSERTED;
    if (messages === "none") {
      this.#lines.pin(pending !== 0);
      return;
    }
    this.#told &= pending;
    const news = pending & ~this.#told;
    this.#told |= news;
    if (news === 0) return;
    if (messages === "msix") this.#sendVectors(news);
    else this.#lines.signal(0);
  }

  #sendVectors(news: number): void {
    const { ivar, eiac, autoMask } = this.#settings;
    for (let n = 0; n < MSIX_CAUSES; n++) {
      const cause = 1 << (FIRST_MSIX_CAUSE + n);
      if (!(news & cause)) continue;
      const entry = (ivar >>> (n * 4)) & 0xf;
      if (entry & IVAR_VALID) this.#lines.signal(entry & 7);
      const automatic = eiac & cause;
      this.#causes = (this.#causes & ~automatic) >>> 0;
      this.#told &= ~automatic;
      if (!autoMask) this.#mask = (this.#mask & ~automatic) >>> 0;
    }
  }
}
