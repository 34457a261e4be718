/**
 * The driver core's lock of a device (device_lock): held while a driver is being taken away, however long its users take.
 *
 * Meanwhile others who want the device wait for their turn: their work is put off, in order. A reset that only tries the
 * lock fails with EAGAIN, which is what `PciFunction.locked` says. Source: drivers/base/dd.c.
 */
import type { PciFunction } from "@minivmm/pci";

export class DeviceLocks {
  readonly #held = new Map<PciFunction, { readonly waiting: (() => void)[]; readonly before: boolean }>();

  /** Does `work` now and returns its result; while the lock is held, later, and returns 0. */
  run(fn: PciFunction, work: () => number): number {
    const held = this.#held.get(fn);
    if (!held) return work();
    held.waiting.push(() => this.run(fn, work));
    return 0;
  }

  hold(fn: PciFunction): void {
    if (this.#held.has(fn)) return;
    this.#held.set(fn, { waiting: [], before: fn.locked });
    fn.locked = true;
  }

  /** Gives the lock back; those who waited go on. */
  release(fn: PciFunction): void {
    const held = this.#held.get(fn);
    if (!held) return;
    this.#held.delete(fn);
    fn.locked = held.before;
    for (const next of held.waiting) next();
  }

  /** The device is going away: those who wait find nothing to do. */
  forsake(fn: PciFunction): void {
    this.#held.get(fn)?.waiting.splice(0);
  }
}
