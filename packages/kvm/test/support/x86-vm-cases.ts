// Requests to an x86 VM that has no vCPUs, and what a kernel answers: asked of the model and of this machine's /dev/kvm.
import { EEXIST, EFAULT, EINVAL, ENOENT, ENXIO, EPERM, type Host } from "@minivmm/host";
import * as K from "../../src/index.ts";

const R = K.kvmRequests("x86_64");
const MSI_ADDRESS = 0xfee0_0000;

export type Ask = (host: Host, vm: number) => number;
type Answered = readonly [title: string, ask: Ask, answer: number];

/** One route: gsi, type, words of the union, flags. */
export type RawRoute = readonly [gsi: number, type: number, words: readonly number[], flags?: number];

export function routing(routes: readonly RawRoute[], head: { nr?: number; flags?: number } = {}): Ask {
  const bytes = new Uint8Array(K.kvm_irq_routing.size + routes.length * K.kvm_irq_routing_entry.size);
  K.kvm_irq_routing.encode({ nr: head.nr ?? routes.length, flags: head.flags ?? 0 }, bytes);
  routes.forEach(([gsi, type, u, flags = 0], n) => {
    const at = K.kvm_irq_routing.size + n * K.kvm_irq_routing_entry.size;
    K.kvm_irq_routing_entry.encode({ gsi, type, flags, u: [...u] }, bytes.subarray(at));
  });
  return (host, vm) => host.ioctl(vm, R.KVM_SET_GSI_ROUTING, bytes);
}

const request =
  (nr: number, arg: number | Uint8Array): Ask =>
  (host, vm) =>
    host.ioctl(vm, nr, arg);
const line = (irq: number, level: number): Ask => request(R.KVM_IRQ_LINE, K.kvm_irq_level.encode({ irq, level }));
const message = (flags: number): Ask =>
  request(R.KVM_SIGNAL_MSI, K.kvm_msi.encode({ address_lo: MSI_ADDRESS, data: 0x41, flags }));
const pit = request(R.KVM_CREATE_PIT2, K.kvm_pit_config.encode({ flags: K.KVM_PIT_SPEAKER_DUMMY }));
const identityMap = request(R.KVM_SET_IDENTITY_MAP_ADDR, new Uint8Array(new BigUint64Array([0xfffb_c000n]).buffer));
const zone = (nr: number, pio: number): Ask =>
  request(nr, K.kvm_coalesced_mmio_zone.encode({ addr: 0x1000n, size: 16, pio }));
const pin = (gsi: number, chip: number, n: number): RawRoute => [gsi, K.KVM_IRQ_ROUTING_IRQCHIP, [chip, n]];
const msi = (gsi: number, flags = 0): RawRoute => [gsi, K.KVM_IRQ_ROUTING_MSI, [MSI_ADDRESS, 0, 0x41], flags];

/** In this order on one VM: first without interrupt controllers, then with them. */
export const WITHOUT_IRQCHIP: readonly Answered[] = [
  ["routes need interrupt controllers", routing([msi(24)]), -EINVAL],
  ["an empty table too", routing([]), -EINVAL],
  ["so do lines", line(4, 1), -ENXIO],
  ["and messages", message(0), -EINVAL],
  ["and the timer", pit, -ENOENT],
  ["KVM's pages are below 4 GiB", request(R.KVM_SET_TSS_ADDR, 0xffff_e000), -EINVAL],
  ["the last three pages will do", request(R.KVM_SET_TSS_ADDR, 0xffff_d000), 0],
  ["the usual ones", request(R.KVM_SET_TSS_ADDR, 0xfffb_d000), 0],
  ["the identity map", identityMap, 0],
  ["the identity map at a bad pointer", request(R.KVM_SET_IDENTITY_MAP_ADDR, 8), -EFAULT],
  ["interrupt controllers", request(R.KVM_CREATE_IRQCHIP, 0), 0],
];

export const WITH_IRQCHIP: readonly Answered[] = [
  ["interrupt controllers twice", request(R.KVM_CREATE_IRQCHIP, 0), -EEXIST],
  ["a bad pointer for the timer", request(R.KVM_CREATE_PIT2, 8), -EFAULT],
  ["the timer", pit, 0],
  ["the timer twice", pit, -EEXIST],
  ["4097 routes", routing([], { nr: 4097 }), -EINVAL],
  ["a flag of the table", routing([msi(24)], { flags: 1 }), -EINVAL],
  ["entries at a bad pointer", request(R.KVM_SET_GSI_ROUTING, 8), -EFAULT],
  ["pin 8 of a PIC", routing([pin(3, K.KVM_IRQCHIP_PIC_MASTER, 8)]), -EINVAL],
  ["pin 7 of the other PIC", routing([pin(3, K.KVM_IRQCHIP_PIC_SLAVE, 7)]), 0],
  ["pin 24 of the I/O APIC", routing([pin(3, K.KVM_IRQCHIP_IOAPIC, 24)]), -EINVAL],
  ["pin 23 of the I/O APIC", routing([pin(3, K.KVM_IRQCHIP_IOAPIC, 23)]), 0],
  ["a fourth chip", routing([pin(3, 3, 0)]), -EINVAL],
  ["one GSI to PIC and I/O APIC", routing([pin(3, K.KVM_IRQCHIP_PIC_MASTER, 3), pin(3, K.KVM_IRQCHIP_IOAPIC, 3)]), 0],
  ["one GSI to a chip twice", routing([pin(3, K.KVM_IRQCHIP_IOAPIC, 3), pin(3, K.KVM_IRQCHIP_IOAPIC, 4)]), -EINVAL],
  ["one pin of two GSIs", routing([pin(3, K.KVM_IRQCHIP_IOAPIC, 3), pin(4, K.KVM_IRQCHIP_IOAPIC, 3)]), 0],
  ["two messages of one GSI", routing([msi(24), msi(24)]), -EINVAL],
  ["a message beside a pin", routing([pin(3, K.KVM_IRQCHIP_IOAPIC, 3), msi(3)]), -EINVAL],
  ["a pin beside a message", routing([msi(3), pin(3, K.KVM_IRQCHIP_IOAPIC, 3)]), -EINVAL],
  ["a message with a device's id", routing([msi(24, K.KVM_MSI_VALID_DEVID)]), 0],
  ["a message with another flag", routing([msi(24, 2)]), -EINVAL],
  ["a pin with a flag", routing([[3, K.KVM_IRQ_ROUTING_IRQCHIP, [2, 3], 1]]), -EINVAL],
  ["an unknown kind", routing([[3, 99, []]]), -EINVAL],
  ["the highest GSI", routing([msi(4095)]), 0],
  ["a GSI beyond", routing([msi(4096)]), -EINVAL],
  ["an empty table", routing([]), 0],
  ["a line that leads nowhere", line(4, 1), 0],
  ["a line beyond all", line(100_000, 1), 0],
  ["a message to nobody", message(0), -EPERM],
  ["a message with a device's id to nobody", message(K.KVM_MSI_VALID_DEVID), -EPERM],
  ["a message with another flag", message(2), -EINVAL],
  ["a message at a bad pointer", request(R.KVM_SIGNAL_MSI, 8), -EFAULT],
  ["a zone", zone(R.KVM_REGISTER_COALESCED_MMIO, 0), 0],
  ["a zone of ports", zone(R.KVM_REGISTER_COALESCED_MMIO, 1), 0],
  ["a zone of neither", zone(R.KVM_REGISTER_COALESCED_MMIO, 2), -EINVAL],
  ["a zone is taken away", zone(R.KVM_UNREGISTER_COALESCED_MMIO, 0), 0],
  ["and need not have been there", zone(R.KVM_UNREGISTER_COALESCED_MMIO, 0), 0],
  ["a zone of neither is not taken away", zone(R.KVM_UNREGISTER_COALESCED_MMIO, 2), -EINVAL],
  ["a zone at a bad pointer", request(R.KVM_REGISTER_COALESCED_MMIO, 8), -EFAULT],
];

/** Asks in order; the titles with what came and what should have. */
export function answers(host: Host, vm: number): { came: string[]; expected: string[] } {
  const cases = [...WITHOUT_IRQCHIP, ...WITH_IRQCHIP];
  return {
    came: cases.map(([title, ask]) => `${title}: ${ask(host, vm)}`),
    expected: cases.map(([title, , answer]) => `${title}: ${answer}`),
  };
}
