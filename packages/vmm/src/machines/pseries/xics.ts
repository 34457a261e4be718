// XICS, the interrupt controller of PAPR guests: a source controller (ICS: one entry a source, with server and
// priority) and one presentation controller (ICP: the CPU's current priority CPPR, the pending source XISR, and the
// inter-processor register MFRR). Lower numbers are more favoured; 0xff is off.
// Source: PAPR 2.7 chapter 15 (Interrupt Source/Presentation Controller).
// Invariants: the output line is high exactly while XISR is not 0; a source that could not be presented is remembered
// (rejected) and presented again when the CPU's priority allows. Edge sources keep one pending event while masked.
import { XICS_IRQ_BASE, XICS_IRQ_COUNT } from "./memory-map.ts";

export const XICS_PRIORITY_OFF = 0xff;
/** Source number of the inter-processor interrupt. */
export const XICS_IPI = 2;

type SourceKind = "free" | "edge" | "level";

class Source {
  kind: SourceKind = "free";
  server = 0;
  priority = XICS_PRIORITY_OFF;
  /** What int-on restores. */
  savedPriority = XICS_PRIORITY_OFF;
  /** Level of the input line (level sources). */
  asserted = false;
  /** Presented and not yet ended (level sources). */
  sent = false;
  /** Could not be presented (edge sources). */
  rejected = false;
  /** Happened while the priority was off (edge sources). */
  maskedPending = false;
  /** Times that the source was presented to the CPU. */
  delivered = 0;
  label = "";
}

export class Xics {
  /** Raised or lowered external interrupt input of the CPU. */
  onLine: (level: boolean) => void = () => {};
  private readonly sources: Source[] = Array.from({ length: XICS_IRQ_COUNT }, () => new Source());
  private readonly used: number[] = [];
  private cppr = 0;
  private xisr = 0;
  private mfrr = 0xff;
  private pending = XICS_PRIORITY_OFF;
  /** Some source waits to be presented again; saves the search at every end of interrupt. */
  private resendNeeded = false;

  /** Claims a source number. `label` names it in the summary. */
  claim(irq: number, kind: "edge" | "level", label: string): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source === undefined) return;
    const delivered = source.delivered;
    Object.assign(source, new Source(), { kind, label, delivered });
    if (!this.used.includes(irq)) this.used.push(irq);
  }

  release(irq: number): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source !== undefined) Object.assign(source, new Source(), { label: source.label, delivered: source.delivered });
  }

  valid(irq: number): boolean {
    const source = this.sources[irq - XICS_IRQ_BASE];
    return source !== undefined && source.kind !== "free";
  }

  serverOf(irq: number): number {
    return this.sources[irq - XICS_IRQ_BASE]?.server ?? 0;
  }

  priorityOf(irq: number): number {
    return this.sources[irq - XICS_IRQ_BASE]?.priority ?? XICS_PRIORITY_OFF;
  }

  isLevel(irq: number): boolean {
    return this.sources[irq - XICS_IRQ_BASE]?.kind === "level";
  }

  /** set-xive: where and how urgently a source is presented. */
  route(irq: number, server: number, priority: number): void {
    this.setSource(irq, server, priority, priority);
  }

  /** int-off: keeps the priority for int-on. */
  mask(irq: number): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source !== undefined) this.setSource(irq, source.server, XICS_PRIORITY_OFF, source.priority);
  }

  unmask(irq: number): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source !== undefined) this.setSource(irq, source.server, source.savedPriority, source.savedPriority);
  }

  /** One event of an edge source (a message). Unknown sources vanish. */
  pulse(irq: number): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source?.kind !== "edge") return;
    if (source.priority === XICS_PRIORITY_OFF) source.maskedPending = true;
    else this.present(irq, source.priority);
  }

  /** Input line of a level source. */
  setLevel(irq: number, level: boolean): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source?.kind !== "level") return;
    source.asserted = level;
    this.resendLevel(irq, source);
  }

  /** H_XIRR: accepts the pending interrupt. Returns CPPR in the top byte and the source. */
  accept(): number {
    const xirr = ((this.cppr << 24) | this.xisr) >>> 0;
    if (this.xisr !== 0) {
      const source = this.sources[this.xisr - XICS_IRQ_BASE];
      if (source !== undefined) source.delivered++;
      this.cppr = this.pending;
      this.clearPresented();
    }
    return xirr;
  }

  /** H_IPOLL: the same without accepting. */
  poll(): number {
    return ((this.cppr << 24) | this.xisr) >>> 0;
  }

  get mostFavoured(): number {
    return this.mfrr;
  }

  /** H_EOI: restores the priority in the top byte of `xirr` and ends its source. */
  endOfInterrupt(xirr: number): void {
    this.cppr = xirr >>> 24;
    const irq = xirr & 0x00ffffff;
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source?.kind === "level") {
      source.sent = false;
      if (source.asserted) this.resendNeeded = true;
    }
    if (this.xisr === 0) this.resend();
  }

  /** H_CPPR. */
  setCppr(cppr: number): void {
    const old = this.cppr;
    this.cppr = cppr & 0xff;
    if (this.cppr < old) {
      if (this.xisr !== 0 && this.cppr <= this.pending) {
        const irq = this.xisr;
        this.clearPresented();
        this.reject(irq);
      }
    } else if (this.xisr === 0) {
      this.resend();
    }
  }

  /** H_IPI: 0xff takes the request back. */
  setMfrr(mfrr: number): void {
    this.mfrr = mfrr & 0xff;
    if (this.mfrr < this.cppr) this.presentIpi();
  }

  /** Interrupts delivered to the CPU by source label. */
  delivered(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const irq of this.used) {
      const { label, delivered } = this.sources[irq - XICS_IRQ_BASE]!;
      if (delivered > 0) out[label] = (out[label] ?? 0) + delivered;
    }
    return out;
  }

  private setSource(irq: number, server: number, priority: number, savedPriority: number): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source === undefined || source.kind === "free") return;
    source.server = server;
    source.priority = priority;
    source.savedPriority = savedPriority;
    if (source.kind === "level") {
      this.resendLevel(irq, source);
    } else if (source.maskedPending && priority !== XICS_PRIORITY_OFF) {
      source.maskedPending = false;
      this.present(irq, priority);
    }
  }

  private resendLevel(irq: number, source: Source): void {
    if (!source.asserted || source.sent || source.priority === XICS_PRIORITY_OFF) return;
    source.sent = true;
    this.present(irq, source.priority);
  }

  private present(irq: number, priority: number): void {
    if (priority >= this.cppr || (this.xisr !== 0 && this.pending <= priority)) {
      this.reject(irq);
      return;
    }
    const displaced = this.xisr;
    this.xisr = irq;
    this.pending = priority;
    if (displaced !== 0) this.reject(displaced);
    this.onLine(true);
  }

  private presentIpi(): void {
    if (this.xisr !== 0 && this.pending <= this.mfrr) return;
    const displaced = this.xisr;
    this.xisr = XICS_IPI;
    this.pending = this.mfrr;
    if (displaced !== 0) this.reject(displaced);
    this.onLine(true);
  }

  private reject(irq: number): void {
    const source = this.sources[irq - XICS_IRQ_BASE];
    if (source === undefined) return;
    if (source.kind === "level") source.sent = false;
    else source.rejected = true;
    this.resendNeeded = true;
  }

  private clearPresented(): void {
    this.xisr = 0;
    this.pending = XICS_PRIORITY_OFF;
    this.onLine(false);
  }

  private resend(): void {
    if (this.mfrr < this.cppr) this.presentIpi();
    if (!this.resendNeeded) return;
    this.resendNeeded = false;
    for (const irq of this.used) {
      const source = this.sources[irq - XICS_IRQ_BASE]!;
      if (source.kind === "level") {
        this.resendLevel(irq, source);
      } else if (source.rejected) {
        source.rejected = false;
        if (source.priority !== XICS_PRIORITY_OFF) this.present(irq, source.priority);
        else source.maskedPending = true;
      }
    }
  }
}
