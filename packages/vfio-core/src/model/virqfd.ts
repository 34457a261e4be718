/**
 * An eventfd whose signals a driver takes for itself (`struct virqfd`): it drains the count and acts.
 *
 * Ends when the driver lets go, or by itself when the last descriptor of the eventfd is closed, even if somebody in the
 * kernel can still signal it. Source: drivers/vfio/virqfd.c.
 */
import { EventFd, type OpenFile } from "@minivmm/host/model";

export class VirqFd {
  #subscriptions: { close(): void }[];

  /** `file` is an eventfd's. A count that was there before acts at once and is not taken. */
  constructor(file: OpenFile, action: () => void) {
    const eventFd = EventFd.from(file) as EventFd;
    const wake = () => {
      eventFd.drain();
      action();
    };
    this.#subscriptions = [eventFd.onWake(wake), eventFd.onHangup(() => this.close())];
    if (eventFd.poll()) action();
  }

  /** Still listening. */
  get open(): boolean {
    return this.#subscriptions.length > 0;
  }

  close(): void {
    for (const each of this.#subscriptions.splice(0)) each.close();
  }
}
