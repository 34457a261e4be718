// Interrupts that emulated devices send into the kernel's interrupt controllers: levels of a GSI, and messages.
// Source: Documentation/virt/kvm/api.rst, "KVM_IRQ_LINE", "KVM_SIGNAL_MSI".
// Invariant: these are calls of device models, so they work on buffers made once.

import { EPERM, type Host } from "@minivmm/host";
import { check } from "../error.ts";
import { kvmRequests } from "../uapi.ts";
import { kvm_irq_level, kvm_msi } from "../uapi-x86.ts";

/** A message-signalled interrupt: a write of `data` to an address of the local APICs. */
export interface MsiMessage {
  readonly addressHi: number;
  readonly addressLo: number;
  readonly data: number;
}

export class InterruptInputs {
  readonly #host: Host;
  readonly #fd: number;
  readonly #KVM_IRQ_LINE: number;
  readonly #KVM_SIGNAL_MSI: number;
  readonly #line = new Uint32Array(kvm_irq_level.size / 4);
  readonly #lineBytes = new Uint8Array(this.#line.buffer);
  readonly #msi = new Uint32Array(kvm_msi.size / 4);
  readonly #msiBytes = new Uint8Array(this.#msi.buffer);

  constructor(host: Host, fd: number) {
    const { KVM_IRQ_LINE, KVM_SIGNAL_MSI } = kvmRequests(host.arch);
    this.#host = host;
    this.#fd = fd;
    this.#KVM_IRQ_LINE = KVM_IRQ_LINE;
    this.#KVM_SIGNAL_MSI = KVM_SIGNAL_MSI;
  }

  setLine(gsi: number, level: boolean): void {
    this.#line[0] = gsi;
    this.#line[1] = level ? 1 : 0;
    const result = this.#host.ioctl(this.#fd, this.#KVM_IRQ_LINE, this.#lineBytes);
    if (result < 0) check(result, "KVM_IRQ_LINE", { gsi });
  }

  /** Whether some vCPU has taken it. A message to nobody is -1 in the kernel, which reads as EPERM here. */
  signal({ addressHi, addressLo, data }: MsiMessage): boolean {
    const message = this.#msi;
    message[0] = addressLo;
    message[1] = addressHi;
    message[2] = data;
    const result = this.#host.ioctl(this.#fd, this.#KVM_SIGNAL_MSI, this.#msiBytes);
    if (result < 0 && result !== -EPERM) check(result, "KVM_SIGNAL_MSI", { addressHi, addressLo, data });
    return result > 0;
  }
}
