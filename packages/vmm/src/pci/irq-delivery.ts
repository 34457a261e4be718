// How the eventfds of a passed-through function become interrupts of the guest. Two ways exist: this program watches them
// (below), or KVM takes them inside the kernel (kvm-irq-delivery.ts).
// Invariants: a line that was given is closed once; nothing here throws, what the host refuses goes to `problem`.
import { EFD_CLOEXEC, EFD_NONBLOCK, type Host } from "@minivmm/host";
import type { Msi, Msix } from "@minivmm/pci/capabilities";

/** One eventfd that the device signals. */
export interface IrqLine {
  readonly fd: number;
  /** The guest may have changed what the vector sends, or its mask. */
  sync?(): void;
  /** Signals that arrived while the vector was masked become its pending bit. */
  collect?(): void;
  close(): void;
}

export interface PinLine extends IrqLine {
  /**
   * Signalled when the guest has ended the interrupt, so that the device looks at its pin again. Absent: somebody calls
   * VfioIrqs.intxEnded.
   */
  readonly unmaskFd?: number;
}

/** MSI or MSI-X of the guest's copy of the function: what a vector sends, and whether it may. */
export type MessageSource = Pick<Msi | Msix, "masked" | "addressHi" | "addressLo" | "data" | "raise">;

export interface IrqDelivery {
  /** A line for a vector of `source`. Undefined: there is none to be had, which was reported. */
  vector(source: MessageSource, vector: number): IrqLine | undefined;
  /** `fired` is called for each signal unless the line has an unmaskFd. */
  pin(fired: () => void): PinLine | undefined;
}

/** Lines that this program watches: a message goes out through the guest's copy of the function. */
export class WatchedIrqDelivery implements IrqDelivery {
  private readonly host: Host;
  private readonly problem: (message: string) => void;
  private readonly counter = new Uint8Array(8);

  constructor(host: Host, problem: (message: string) => void) {
    this.host = host;
    this.problem = problem;
  }

  vector(source: MessageSource, vector: number): IrqLine | undefined {
    return this.line(`vector ${vector}`, () => source.raise(vector));
  }

  pin(fired: () => void): PinLine | undefined {
    return this.line("the pin", fired);
  }

  private line(what: string, fired: () => void): IrqLine | undefined {
    const { host, counter } = this;
    const fd = host.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
      this.problem(`no eventfd for ${what} (error ${fd})`);
      return undefined;
    }
    const watch = host.watch(fd, () => {
      host.read(fd, counter);
      fired();
    });
    return {
      fd,
      close: () => {
        watch.close();
        host.close(fd);
      },
    };
  }
}
