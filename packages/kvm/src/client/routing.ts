// Where the interrupt inputs (GSIs) of a VM lead: pins of the interrupt controllers in the kernel, or messages.
// Source: Documentation/virt/kvm/api.rst, "KVM_SET_GSI_ROUTING"; arch/x86/kvm/irq_comm.c.
// Invariant of the kernel: a GSI has one message, or at most one pin of each chip; the table is replaced as a whole.

import { KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, kvm_irq_routing, kvm_irq_routing_entry } from "../uapi-x86.ts";

/** `chip`: KVM_IRQCHIP_PIC_MASTER (0), KVM_IRQCHIP_PIC_SLAVE (1) or KVM_IRQCHIP_IOAPIC (2). */
export type GsiRoute =
  | { readonly kind: "irqchip"; readonly gsi: number; readonly chip: 0 | 1 | 2; readonly pin: number }
  | {
      readonly kind: "msi";
      readonly gsi: number;
      readonly addressHi: number;
      readonly addressLo: number;
      readonly data: number;
    };

/** struct kvm_irq_routing with its entries. */
export function encodeRouting(routes: readonly GsiRoute[]): Uint8Array {
  const bytes = new Uint8Array(kvm_irq_routing.size + routes.length * kvm_irq_routing_entry.size);
  kvm_irq_routing.encode({ nr: routes.length }, bytes);
  routes.forEach((route, n) => {
    const entry =
      route.kind === "irqchip"
        ? { type: KVM_IRQ_ROUTING_IRQCHIP, u: [route.chip, route.pin] }
        : { type: KVM_IRQ_ROUTING_MSI, u: [route.addressLo, route.addressHi, route.data] };
    const at = kvm_irq_routing.size + n * kvm_irq_routing_entry.size;
    kvm_irq_routing_entry.encode({ gsi: route.gsi, ...entry }, bytes.subarray(at));
  });
  return bytes;
}
