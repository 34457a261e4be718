// KVM_SET_GSI_ROUTING: the table that says where each GSI leads (virt/kvm/irqchip.c, kvm_set_irq_routing and
// setup_routing_entry; arch/x86/kvm/irq_comm.c, kvm_set_routing_entry and default_routing).
// Invariants: a GSI has one message, or at most one pin of each chip; a table is taken as a whole or not at all.
// Hyper-V's and Xen's kinds of routes are refused, as by a kernel that was built without them.

import { EINVAL, type StructValue } from "@minivmm/host";
import {
  KVM_IOAPIC_NUM_PINS,
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQCHIP_IOAPIC,
  KVM_MAX_IRQ_ROUTES,
  KVM_MSI_VALID_DEVID,
  type kvm_irq_routing_entry,
} from "../uapi-x86.ts";

export interface Route {
  readonly message: { readonly addressHi: number; readonly addressLo: number; readonly data: number } | null;
  /** Pins by chip (KVM_IRQCHIP_*); none beside a message. */
  readonly pins: ReadonlyMap<number, number>;
}

export type RouteTable = ReadonlyMap<number, Route>;
export const NO_ROUTES: RouteTable = new Map();

const PIC_PINS = 8;

/** What a VM has after KVM_CREATE_IRQCHIP: ISA interrupts lead to PIC and I/O APIC alike, the others to the latter. */
export const DEFAULT_ROUTES: RouteTable = new Map(
  Array.from({ length: KVM_IOAPIC_NUM_PINS }, (_, gsi) => {
    const pins = new Map([[KVM_IRQCHIP_IOAPIC, gsi]]);
    if (gsi < 2 * PIC_PINS) pins.set(Math.floor(gsi / PIC_PINS), gsi % PIC_PINS);
    return [gsi, { message: null, pins }];
  }),
);

type Entry = StructValue<typeof kvm_irq_routing_entry>;

/** The table that the entries describe, or -EINVAL. */
export function readRoutes(entries: readonly Entry[]): RouteTable | number {
  if (entries.some(({ gsi }) => gsi >= KVM_MAX_IRQ_ROUTES)) return -EINVAL;
  const table = new Map<number, Route>();
  for (const entry of entries) {
    const route = readRoute(entry, table.get(entry.gsi));
    if (route === null) return -EINVAL;
    table.set(entry.gsi, route);
  }
  return table;
}

/** The route of a GSI with one more entry; null when that cannot be. */
function readRoute({ type, flags, u }: Entry, before: Route | undefined): Route | null {
  const [first = 0, second = 0, third = 0] = u;
  if (flags & ~(type === KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0)) return null;
  if (type === KVM_IRQ_ROUTING_MSI) {
    return before ? null : { message: { addressLo: first, addressHi: second, data: third }, pins: new Map() };
  }
  if (type !== KVM_IRQ_ROUTING_IRQCHIP || before?.message || before?.pins.has(first)) return null;
  if (first > KVM_IRQCHIP_IOAPIC || second >= (first === KVM_IRQCHIP_IOAPIC ? KVM_IOAPIC_NUM_PINS : PIC_PINS)) {
    return null;
  }
  return { message: null, pins: new Map([...(before?.pins ?? []), [first, second]]) };
}
