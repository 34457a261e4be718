// Interrupts of the controller (NVM Express 1.4 section 7.5). MSI-X: a message a queue, masked in the MSI-X table.
// MSI: a message a vector, held back while INTMS masks it. INTx: a level that stays up while an unmasked queue has
// entries the host has not consumed. Several completions of one doorbell share one message.
import type { CompletionQueue } from "./queues.ts";

/** What the PCI function offers: messages, and a pin. */
export interface InterruptSink {
  readonly mode: "msix" | "msi" | "pin";
  message(vector: number): void;
  pin(level: boolean): void;
}

export class NvmeInterrupts {
  /** INTMS: one bit a vector. */
  mask = 0;
  readonly #sink: InterruptSink;
  readonly #touched: CompletionQueue[] = [];

  constructor(sink: InterruptSink) {
    this.#sink = sink;
  }

  /** An entry was posted. */
  posted(cq: CompletionQueue): void {
    if (!cq.interrupts || cq.signalPending) return;
    cq.signalPending = true;
    this.#touched.push(cq);
  }

  /** A queue goes away: nothing is signalled for it any more. */
  forget(cq: CompletionQueue): void {
    const at = this.#touched.indexOf(cq);
    if (at >= 0) this.#touched.splice(at, 1);
  }

  reset(): void {
    this.mask = 0;
    this.#touched.length = 0;
    this.#sink.pin(false);
  }

  /** Signal what was posted. A message may run host code that comes back into the controller. */
  deliver(queues: readonly (CompletionQueue | null)[]): void {
    const { mode } = this.#sink;
    if (mode === "pin") {
      for (const cq of this.#touched) cq.signalPending = false;
      this.#touched.length = 0;
      this.updatePin(queues);
      return;
    }
    for (let round = this.#touched.length; round > 0; round--) {
      const cq = this.#touched.shift();
      if (cq === undefined) return;
      if (mode === "msi" && this.#masked(cq.vector)) {
        this.#touched.push(cq);
        continue;
      }
      cq.signalPending = false;
      this.#sink.message(cq.vector);
    }
  }

  /** Recompute the INTx level. */
  updatePin(queues: readonly (CompletionQueue | null)[]): void {
    if (this.#sink.mode !== "pin") return;
    let level = false;
    for (const cq of queues) {
      if (cq?.interrupts && cq.head !== cq.tail && !this.#masked(cq.vector)) level = true;
    }
    this.#sink.pin(level);
  }

  #masked(vector: number): boolean {
    return vector < 32 && (this.mask & (1 << vector)) !== 0;
  }
}
