// KVM_IRQFD: eventfds that raise interrupts inside the kernel (virt/kvm/eventfd.c).
// A plain irqfd consumes the count and pulses its GSI. With RESAMPLE the GSI stays asserted until the guest ends the
// interrupt; then all resample irqfds of that GSI are de-asserted together and their resamplefds signalled.
// Invariants: one irqfd per eventfd and VM; an irqfd goes when the last descriptor of its eventfd is closed.

import { EBADF, EBUSY, EINVAL, type StructValue } from "@minivmm/host";
import { EventFd, type ModelProcess } from "@minivmm/host/model";
import { KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE, type kvm_irqfd } from "../uapi.ts";

/** The inputs that irqfds signal. */
export interface IrqFdInputs {
  pulse(gsi: number): void;
  /** By the source that all resample irqfds of a GSI share. */
  level(gsi: number, high: boolean): void;
}

interface Entry {
  event: EventFd;
  gsi: number;
  resample: EventFd | null;
  close(): void;
}

/** The eventfd behind a descriptor, or -EBADF, or -EINVAL for another kind of file. */
export function eventOf(process: ModelProcess, fd: number): EventFd | number {
  const file = process.fileOf(fd);
  if (!file) return -EBADF;
  return EventFd.from(file) ?? -EINVAL;
}

export class IrqFds {
  readonly #entries = new Set<Entry>();
  readonly #inputs: IrqFdInputs;

  constructor(inputs: IrqFdInputs) {
    this.#inputs = inputs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** `irqchip`: whether the VM has an in-kernel interrupt controller. 0 or -errno. */
  set(process: ModelProcess, request: StructValue<typeof kvm_irqfd>, irqchip: boolean): number {
    const { flags, gsi } = request;
    if (flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)) return -EINVAL;
    if (flags & KVM_IRQFD_FLAG_DEASSIGN) return this.#deassign(process, request.fd | 0, gsi);
    if (!irqchip) return -EINVAL;
    const event = eventOf(process, request.fd | 0);
    if (typeof event === "number") return event;
    let resample: EventFd | null = null;
    if (flags & KVM_IRQFD_FLAG_RESAMPLE) {
      const found = eventOf(process, request.resamplefd | 0);
      if (typeof found === "number") return found;
      resample = found;
    }
    for (const entry of this.#entries) if (entry.event === event) return -EBUSY;
    this.#assign(event, gsi, resample);
    return 0;
  }

  #assign(event: EventFd, gsi: number, resample: EventFd | null): void {
    const fire = (): void => {
      if (event.drain() === 0) return;
      if (resample) this.#inputs.level(gsi, true);
      else this.#inputs.pulse(gsi);
    };
    const wake = event.onWake(fire);
    const hangup = event.onHangup(() => this.#remove(entry));
    const entry: Entry = {
      event,
      gsi,
      resample,
      close() {
        wake.close();
        hangup.close();
      },
    };
    this.#entries.add(entry);
    fire();
  }

  #deassign(process: ModelProcess, fd: number, gsi: number): number {
    const event = eventOf(process, fd);
    if (typeof event === "number") return event;
    for (const entry of [...this.#entries]) if (entry.event === event && entry.gsi === gsi) this.#remove(entry);
    return 0;
  }

  #remove(entry: Entry): void {
    if (!this.#entries.delete(entry)) return;
    entry.close();
    if (entry.resample && !this.#holds(entry.gsi)) this.#inputs.level(entry.gsi, false);
  }

  #holds(gsi: number): boolean {
    for (const entry of this.#entries) if (entry.gsi === gsi && entry.resample) return true;
    return false;
  }

  /** The guest ended the interrupt (EOI). */
  endOfInterrupt(gsi: number): void {
    if (!this.#holds(gsi)) return;
    this.#inputs.level(gsi, false);
    for (const entry of [...this.#entries]) if (entry.gsi === gsi) entry.resample?.signal();
  }

  close(): void {
    for (const entry of [...this.#entries]) this.#remove(entry);
  }
}
