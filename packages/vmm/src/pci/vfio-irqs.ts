// Interrupts of a passed-through function: whichever mode the guest enabled in its copy of the function (INTx, MSI,
// MSI-X) is brought about on the host with SET_IRQS, one eventfd a vector.
// Source: QEMU 7.2 hw/vfio/pci.c (vfio_intx_enable, vfio_msi_enable, vfio_msix_vector_do_use).
// Invariants: at most one mode is active on the host; vectors are bound when the guest first unmasks them and stay
// bound (a masked one only sets its pending bit); a refused SET_IRQS is reported and leaves the mode off.
import type { IrqDelivery, IrqLine, PinLine } from "./irq-delivery.ts";
import type { ShadowFunction } from "./shadow-function.ts";

/** What is asked of the VFIO device. */
export interface IrqDevice {
  /** 0, or the number of vectors that could be had instead; throws what the host refuses. */
  setIrqs(request: { index: number; start: number; fds: number[] }): number;
  disableIrqs(index: number): void;
  /** With `fd`: at each signal of it from now on. */
  unmask(index: number, fd?: number): void;
}

export interface VfioIrqsOptions {
  readonly delivery: IrqDelivery;
  readonly device: IrqDevice;
  readonly shadow: ShadowFunction;
  readonly sinks: IrqSinks;
  /** The host takes more MSI-X vectors while some are in use (Linux 6.2 and later). Default false. */
  readonly growsMsix?: boolean;
}

export interface IrqSinks {
  intx(level: boolean): void;
  /** Something that failed, in words. */
  problem(message: string): void;
}

const INTX = 0;
const MSI = 1;
const MSIX = 2;
type Mode = "none" | "intx" | "msi" | "msix";
const INDEX_OF = { intx: INTX, msi: MSI, msix: MSIX } as const;

export class VfioIrqs {
  private readonly delivery: IrqDelivery;
  private readonly device: IrqDevice;
  private readonly shadow: ShadowFunction;
  private readonly sinks: IrqSinks;
  private readonly growsMsix: boolean;
  private mode: Mode = "none";
  private lines: (IrqLine | undefined)[] = [];
  /** Vectors that the host has allocated for MSI-X. */
  private allocated = 0;
  private intxHigh = false;

  constructor({ delivery, device, shadow, sinks, growsMsix = false }: VfioIrqsOptions) {
    this.delivery = delivery;
    this.device = device;
    this.shadow = shadow;
    this.sinks = sinks;
    this.growsMsix = growsMsix;
  }

  /** Makes the host agree with the guest's registers. Called after every write that may have changed them. */
  sync(): void {
    const wanted = this.wantedMode();
    if (wanted !== this.mode) {
      this.disable();
      if (wanted === "intx") this.enableIntx();
      if (wanted === "msi") this.enableMsi();
      if (wanted === "msix") this.bind("msix", [undefined]);
    }
    if (this.mode === "msix") this.bindUnmasked();
    for (const line of this.lines) line?.sync?.();
  }

  /** Before the guest reads pending bits. */
  collectPending(): void {
    for (const line of this.lines) line?.collect?.();
  }

  /** The guest ended the pin's interrupt: lower it and let the device raise it again. */
  intxEnded(): void {
    if (!this.intxHigh) return;
    this.intxHigh = false;
    this.sinks.intx(false);
    if (this.mode === "intx") this.attempt("unmask INTx", () => this.device.unmask(INTX));
  }

  disable(): void {
    if (this.mode !== "none") {
      const index = INDEX_OF[this.mode];
      this.attempt("disable interrupts", () => this.device.disableIrqs(index));
    }
    this.mode = "none";
    this.allocated = 0;
    for (const line of this.lines) line?.close();
    this.lines = [];
    if (this.intxHigh) {
      this.intxHigh = false;
      this.sinks.intx(false);
    }
  }

  private wantedMode(): Mode {
    const { msix, msi } = this.shadow;
    if (msix?.enabled) return "msix";
    if (msi?.enabled) return "msi";
    return this.shadow.config.read(0x3d, 1) !== 0 ? "intx" : "none";
  }

  private enableIntx(): void {
    const pin: PinLine | undefined = this.delivery.pin(() => this.intxFired());
    if (pin === undefined || !this.bind("intx", [pin]) || pin.unmaskFd === undefined) return;
    this.attempt("unmask INTx by eventfd", () => this.device.unmask(INTX, pin.unmaskFd));
  }

  private enableMsi(): void {
    const { msi } = this.shadow;
    if (msi === null) return;
    const count = msi.allowed;
    this.bind(
      "msi",
      Array.from({ length: count }, (_, vector) => this.delivery.vector(msi, vector)),
    );
  }

  /** Binds `lines` as vectors 0.. of a mode that is off. */
  private bind(mode: Exclude<Mode, "none">, lines: (IrqLine | undefined)[]): boolean {
    this.lines = lines;
    const fds = lines.map((line) => line?.fd ?? -1);
    const index = INDEX_OF[mode];
    let had = 0;
    const done = this.attempt(`enable ${mode}`, () => {
      had = this.device.setIrqs({ index, start: 0, fds });
      // Fewer vectors than asked for: the host says how many, and those are taken.
      if (had > 0) this.device.setIrqs({ index, start: 0, fds: fds.slice(0, had) });
    });
    if (done) {
      this.mode = mode;
      this.allocated = had > 0 ? had : fds.length;
      return true;
    }
    for (const line of lines) line?.close();
    this.lines = [];
    return false;
  }

  private bindUnmasked(): void {
    const msix = this.shadow.msix;
    if (msix === null) return;
    let highest = -1;
    const fresh: number[] = [];
    for (let vector = 0; vector < msix.vectors; vector++) {
      if ((msix.table[vector * 4 + 3]! & 1) !== 0 || this.lines[vector] !== undefined) continue;
      fresh.push(vector);
      highest = vector;
    }
    if (fresh.length === 0) return;
    for (const vector of fresh) this.lines[vector] = this.delivery.vector(msix, vector);
    if (highest >= this.allocated && this.growsMsix) this.allocated = highest + 1;
    if (highest >= this.allocated) {
      // More vectors than the host allocated: allocation happens only when MSI-X is switched on.
      this.attempt("disable MSI-X", () => this.device.disableIrqs(MSIX));
      this.mode = "none";
      this.bind(
        "msix",
        Array.from({ length: highest + 1 }, (_, vector) => this.lines[vector]),
      );
      return;
    }
    for (const vector of fresh) {
      const fds = [this.lines[vector]?.fd ?? -1];
      this.attempt(`bind vector ${vector}`, () => this.device.setIrqs({ index: MSIX, start: vector, fds }));
    }
  }

  private intxFired(): void {
    this.intxHigh = true;
    this.sinks.intx(true);
  }

  private attempt(what: string, action: () => unknown): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.sinks.problem(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }
}
