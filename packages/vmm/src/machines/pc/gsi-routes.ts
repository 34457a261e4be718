// Where the interrupt inputs (GSIs) of the VM lead: those of the interrupt controllers, fixed, and one for each message
// vector that goes through the kernel. KVM takes the table as a whole, so it is kept here and handed over when it changed.
// Source: Documentation/virt/kvm/api.rst, KVM_SET_GSI_ROUTING; arch/x86/kvm/irq_comm.c (kvm_default_irq_routing).
// Invariants: a GSI below GSI_MESSAGES is a pin; the interval timer's GSI 0 goes to pin 2 of the I/O APIC, as the MADT
// tells the guest; a table that did not change is not handed over again.
import type { GsiRoute, KvmVm } from "@minivmm/kvm";
import { GSI_MESSAGES, IOAPIC_PINS } from "./memory-map.ts";

/** KVM_MAX_IRQ_ROUTES. */
const ROUTES_MAX = 4096;
const PIC_PINS = 8;
const CASCADE = 2;
const CHIP_MASTER = 0;
const CHIP_SLAVE = 1;
const CHIP_IOAPIC = 2;

interface MessageRoute {
  readonly kind: "msi";
  readonly gsi: number;
  addressHi: number;
  addressLo: number;
  data: number;
  used: boolean;
}

export class GsiRoutes {
  private readonly vm: Pick<KvmVm, "setGsiRouting">;
  private readonly pins = pinRoutes();
  private readonly messages: MessageRoute[] = [];
  private changed = true;

  constructor(vm: Pick<KvmVm, "setGsiRouting">) {
    this.vm = vm;
  }

  /** A GSI for a message vector, undefined when KVM's table is full. */
  allocate(): number | undefined {
    const free = this.messages.find(({ used }) => !used);
    if (free !== undefined) {
      free.used = true;
      return free.gsi;
    }
    if (this.pins.length + this.messages.length >= ROUTES_MAX) return undefined;
    const gsi = GSI_MESSAGES + this.messages.length;
    this.messages.push({ kind: "msi", gsi, addressHi: 0, addressLo: 0, data: 0, used: true });
    return gsi;
  }

  /** A GSI that nothing leads to any more. */
  free(gsi: number): void {
    const route = this.messages[gsi - GSI_MESSAGES];
    if (route === undefined) return;
    route.used = false;
    this.set(gsi, 0, 0, 0);
  }

  set(gsi: number, addressHi: number, addressLo: number, data: number): void {
    const route = this.messages[gsi - GSI_MESSAGES];
    if (route === undefined) return;
    if (route.addressHi === addressHi && route.addressLo === addressLo && route.data === data) return;
    route.addressHi = addressHi;
    route.addressLo = addressLo;
    route.data = data;
    this.changed = true;
  }

  /** Hands the table to KVM if it is another than KVM has. Throws KvmError. */
  commit(): void {
    if (!this.changed) return;
    this.vm.setGsiRouting([...this.pins, ...this.messages.filter(({ addressLo, addressHi }) => addressLo | addressHi)]);
    this.changed = false;
  }
}

function pinRoutes(): GsiRoute[] {
  const routes: GsiRoute[] = [];
  for (let gsi = 0; gsi < IOAPIC_PINS; gsi++) {
    if (gsi === CASCADE) continue;
    if (gsi < PIC_PINS) routes.push({ kind: "irqchip", gsi, chip: CHIP_MASTER, pin: gsi });
    else if (gsi < 2 * PIC_PINS) routes.push({ kind: "irqchip", gsi, chip: CHIP_SLAVE, pin: gsi - PIC_PINS });
    routes.push({ kind: "irqchip", gsi, chip: CHIP_IOAPIC, pin: gsi === 0 ? CASCADE : gsi });
  }
  return routes;
}
