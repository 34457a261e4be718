// Interrupts that a function sends and nobody gets, as with a broken line or a lost message.
import type { IrqPort, PciDevice } from "@minivmm/pci";

/** Stands before a device's interrupt port, whoever sets it, and swallows what it is told to. */
export class LossyIrq implements IrqPort {
  /** Interrupts still to be lost. */
  remaining = 0;
  lost = 0;
  #port: IrqPort;

  constructor(device: PciDevice) {
    this.#port = device.irq;
    Object.defineProperty(device, "irq", {
      configurable: true,
      enumerable: true,
      get: () => this,
      set: (port: IrqPort) => {
        this.#port = port;
      },
    });
  }

  intx(level: boolean): void {
    // The line's fall is never lost: a device that is quiet again must not look stuck.
    if (!level || !this.#swallow()) this.#port.intx(level);
  }

  msi(vector: number, addressHi: number, addressLo: number, data: number): void {
    if (!this.#swallow()) this.#port.msi(vector, addressHi, addressLo, data);
  }

  #swallow(): boolean {
    if (this.remaining === 0) return false;
    this.remaining--;
    this.lost++;
    return true;
  }
}
