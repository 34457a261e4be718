/**
 * Who has which interrupt line of the host: several devices that can tell their own interrupts apart, or one that cannot.
 *
 * Source: __setup_irq of kernel/irq/manage.c, with IRQF_SHARED as vfio_intx_set_signal asks for it.
 */
import { EBUSY } from "@minivmm/host";

export class InterruptLines {
  /** By global system interrupt: how many share it, -1 for one that does not. */
  readonly #users = new Map<number, number>();

  /** 0, or -EBUSY. Lines that the host does not describe (number 0) are free. */
  request(gsi: number, shared: boolean): number {
    if (gsi === 0) return 0;
    const users = this.#users.get(gsi) ?? 0;
    if (users < 0 || (users > 0 && !shared)) return -EBUSY;
    this.#users.set(gsi, shared ? users + 1 : -1);
    return 0;
  }

  release(gsi: number): void {
    const users = this.#users.get(gsi) ?? 0;
    if (users > 1) this.#users.set(gsi, users - 1);
    else this.#users.delete(gsi);
  }
}
