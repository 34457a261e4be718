// Interrupt inputs (GSIs) of a VM: from who signals them, through the routes, to who models the interrupt controllers.
// Source: virt/kvm/irqchip.c (kvm_set_irq), arch/x86/kvm/irq_comm.c (kvm_set_msi), __kvm_irq_line_state of irq_comm.h.
// Invariants: an input without a route leads nowhere; a pin is high while any of its sources is; a message has no level, it
// is sent at each rising of its input.

import { NO_ROUTES, type RouteTable } from "./routing.ts";

/** Where interrupts end up: whoever models the guest's interrupt controllers. */
export interface InterruptSink {
  /** An edge. */
  pulse(gsi: number): void;
  /** A level, held until `level(gsi, false)`. */
  level(gsi: number, high: boolean): void;
  /** A message-signalled interrupt. Returns whether some CPU has taken it. */
  message(addressHi: number, addressLo: number, data: number): boolean;
}

/** There is no guest, so nobody takes an interrupt. */
export const SILENT: InterruptSink = { pulse: () => undefined, level: () => undefined, message: () => false };

/** Sources of a level, one bit each. */
export const USERSPACE_SOURCE = 1;
export const RESAMPLE_SOURCE = 2;

export class InterruptInputs {
  routes: RouteTable = NO_ROUTES;
  readonly #sink: () => InterruptSink;
  /** Sources that hold a GSI high. */
  readonly #levels = new Map<number, number>();

  constructor(sink: () => InterruptSink) {
    this.#sink = sink;
  }

  /** Up and down again, as user space's source. */
  pulse(gsi: number): void {
    const route = this.routes.get(gsi);
    if (route === undefined) return;
    if (route.message) {
      this.#sink().message(route.message.addressHi, route.message.addressLo, route.message.data);
      return;
    }
    this.#sink().pulse(gsi);
    if (this.#levels.has(gsi)) this.setLevel(gsi, USERSPACE_SOURCE, false);
  }

  setLevel(gsi: number, source: number, high: boolean): void {
    const route = this.routes.get(gsi);
    if (route === undefined) return;
    if (route.message) {
      if (high) this.#sink().message(route.message.addressHi, route.message.addressLo, route.message.data);
      return;
    }
    const before = this.#levels.get(gsi) ?? 0;
    const now = high ? before | source : before & ~source;
    if (now === 0) this.#levels.delete(gsi);
    else this.#levels.set(gsi, now);
    if ((now === 0) !== (before === 0)) this.#sink().level(gsi, now !== 0);
  }
}
