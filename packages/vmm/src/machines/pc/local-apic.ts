// The local interrupt pins of a CPU as firmware leaves them: on each CPU LINT1 is the non-maskable interrupt, as the MADT
// says, and on the first one LINT0 takes the 8259s' interrupts.
// Source: Intel 64 SDM volume 3, 11.5.1 (local vector table); MultiProcessor Specification 1.4, 3.6.2.
// Writing the registers has an effect beyond them: KVM looks anew for who has which APIC id, and so learns of CPUs that
// were made after it last looked.
import type { KvmVcpu } from "@minivmm/kvm";

const APIC_LVT0 = 0x350;
const APIC_LVT1 = 0x360;
const MODE_NMI = 0x400;
const MODE_EXTINT = 0x700;
const MASKED = 0x1_0000;

/** After all vCPUs have been made. */
export function setLocalPins(vcpu: KvmVcpu): void {
  const registers = vcpu.getLapic();
  const words = new Uint32Array(registers.buffer, registers.byteOffset, registers.byteLength / 4);
  words[APIC_LVT0 / 4] = vcpu.id === 0 ? MODE_EXTINT : MODE_EXTINT | MASKED;
  words[APIC_LVT1 / 4] = MODE_NMI;
  vcpu.setLapic(registers);
}
