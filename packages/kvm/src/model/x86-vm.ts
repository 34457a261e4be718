// What only an x86 VM is asked: interrupt controllers and their inputs, the interval timer, KVM's own pages.
// Source: arch/x86/kvm/x86.c (kvm_arch_vm_ioctl), virt/kvm/kvm_main.c (kvm_vm_ioctl).
// Invariant: checks follow the kernel's order. There are no vCPUs here, so nothing is refused because of them.

import { EEXIST, EINVAL, ENOENT, ENXIO, EPERM } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import { type KvmRequests, kvmRequests } from "../uapi.ts";
import {
  KVM_MAX_IRQ_ROUTES,
  KVM_MSI_VALID_DEVID,
  kvm_coalesced_mmio_zone,
  kvm_irq_level,
  kvm_irq_routing,
  kvm_irq_routing_entry,
  kvm_msi,
  kvm_pit_config,
} from "../uapi-x86.ts";
import { CoalescedZones } from "./coalesced.ts";
import { type InterruptInputs, type InterruptSink, USERSPACE_SOURCE } from "./interrupts.ts";
import { DEFAULT_ROUTES, readRoutes } from "./routing.ts";

/** Three pages end at 4 GiB. */
const HIGHEST_TSS = 2 ** 32 - 3 * 4096;

export class X86Vm {
  readonly coalesced = new CoalescedZones();
  readonly #inputs: InterruptInputs;
  readonly #sink: () => InterruptSink;
  readonly #requests: KvmRequests = kvmRequests("x86_64");
  #irqchip = false;
  #pit = false;

  constructor(inputs: InterruptInputs, sink: () => InterruptSink) {
    this.#inputs = inputs;
    this.#sink = sink;
  }

  /** Whether the VM has its interrupt controllers in the kernel. */
  get irqchip(): boolean {
    return this.#irqchip;
  }

  /** >= 0 or -errno; null for a request that is not one of these. May throw KernelError. */
  ioctl({ request, arg }: IoctlCall): number | null {
    const r = this.#requests;
    switch (request) {
      case r.KVM_SET_TSS_ADDR:
        return arg.value > BigInt(HIGHEST_TSS) ? -EINVAL : 0;
      case r.KVM_SET_IDENTITY_MAP_ADDR:
        arg.copyIn(8);
        return 0;
      case r.KVM_CREATE_IRQCHIP:
        return this.#createIrqchip();
      case r.KVM_CREATE_PIT2:
        arg.copyIn(kvm_pit_config.size);
        return this.#createPit();
      case r.KVM_IRQ_LINE:
        return this.#irqLine(arg.copyIn(kvm_irq_level.size));
      case r.KVM_SIGNAL_MSI:
        return this.#signalMsi(arg.copyIn(kvm_msi.size));
      case r.KVM_SET_GSI_ROUTING:
        return this.#setRouting(arg);
      case r.KVM_REGISTER_COALESCED_MMIO:
        return this.coalesced.register(kvm_coalesced_mmio_zone.decode(arg.copyIn(kvm_coalesced_mmio_zone.size)));
      case r.KVM_UNREGISTER_COALESCED_MMIO:
        return this.coalesced.unregister(kvm_coalesced_mmio_zone.decode(arg.copyIn(kvm_coalesced_mmio_zone.size)));
      default:
        return null;
    }
  }

  #createIrqchip(): number {
    if (this.#irqchip) return -EEXIST;
    this.#irqchip = true;
    this.#inputs.routes = DEFAULT_ROUTES;
    return 0;
  }

  #createPit(): number {
    if (this.#pit) return -EEXIST;
    if (!this.#irqchip) return -ENOENT;
    this.#pit = true;
    return 0;
  }

  #irqLine(bytes: Uint8Array): number {
    if (!this.#irqchip) return -ENXIO;
    const { irq, level } = kvm_irq_level.decode(bytes);
    this.#inputs.setLevel(irq, USERSPACE_SOURCE, level !== 0);
    return 0;
  }

  /** A message that no CPU takes is -1 in the kernel, which is EPERM here. */
  #signalMsi(bytes: Uint8Array): number {
    const { address_hi, address_lo, data, flags } = kvm_msi.decode(bytes);
    if (!this.#irqchip || flags & ~KVM_MSI_VALID_DEVID) return -EINVAL;
    return this.#sink().message(address_hi, address_lo, data) ? 1 : -EPERM;
  }

  #setRouting(arg: IoctlCall["arg"]): number {
    const { nr, flags } = kvm_irq_routing.decode(arg.copyIn(kvm_irq_routing.size));
    if (!this.#irqchip || nr > KVM_MAX_IRQ_ROUTES || flags !== 0) return -EINVAL;
    const bytes = arg.copyIn(nr * kvm_irq_routing_entry.size, kvm_irq_routing.size);
    const entries = Array.from({ length: nr }, (_, n) =>
      kvm_irq_routing_entry.decode(bytes, n * kvm_irq_routing_entry.size),
    );
    const routes = readRoutes(entries);
    if (typeof routes === "number") return routes;
    this.#inputs.routes = routes;
    return 0;
  }
}
