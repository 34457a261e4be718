// Where things are in the address spaces of machine pc: memory, I/O ports, interrupt inputs (GSIs).
// Source: Intel 64 SDM volume 3 (local APIC, I/O APIC), PCI Firmware 3.0 (ECAM), Linux Documentation/arch/x86/boot.rst;
// the choice of ports follows QEMU 7.2's q35, whose guests know them.
// Invariants: nothing overlaps; everything below 4 GiB that is not RAM lies between LOW_RAM_END and 4 GiB.

import type { AddressRange } from "../../boot/x86/e820.ts";

export type { AddressRange };

/** RAM from 0 up to here; the rest of it begins at 4 GiB. */
export const LOW_RAM_END = 0xc000_0000;
export const HIGH_RAM_START = 0x1_0000_0000;

/** Below 1 MiB: what of the first 640 KiB is the guest's, and the shadow of a ROM where tables lie. */
export const EBDA_START = 0x9_fc00;
export const BIOS_AREA: AddressRange = { start: 0xe_0000, size: 0x2_0000 };

/** ACPI's root pointer: the tables begin with it. */
export const RSDP_ADDRESS = BIOS_AREA.start;

/** 32-bit memory of PCI functions. */
export const MEM32_WINDOW: AddressRange = { start: 0xc000_0000, size: 0x2000_0000 };
/** Configuration space of bus 0, a page a function (ECAM). */
export const ECAM: AddressRange = { start: 0xe000_0000, size: 0x10_0000 };
/** What a guest must not take for RAM: from the extended BIOS data area to 1 MiB, and ECAM, which it has to find reserved. */
export const RESERVED: readonly AddressRange[] = [{ start: EBDA_START, size: 0x10_0000 - EBDA_START }, ECAM];
export const IOAPIC_ADDRESS = 0xfec0_0000;
export const LAPIC_ADDRESS = 0xfee0_0000;
/** Pages that KVM on Intel wants for itself: an identity map, and three of a task state segment behind it. */
export const KVM_IDENTITY_MAP = 0xfeff_c000;
export const KVM_TSS = 0xfeff_d000;

/** What the memory map names as not RAM: the rest below 4 GiB is either RAM, or known to the guest from elsewhere. */
export const RESERVED_RANGES: readonly AddressRange[] = [
  { start: EBDA_START, size: 0x10_0000 - EBDA_START },
  ECAM,
  { start: KVM_IDENTITY_MAP, size: KVM_TSS + 0x3000 - KVM_IDENTITY_MAP },
];

/** Ports of PCI functions; everything below is the platform's. */
export const IO_WINDOW: AddressRange = { start: 0xc000, size: 0x4000 };

export const PORT_PIC_MASTER = 0x20;
export const PORT_PIT = 0x40;
export const PORT_KEYBOARD = 0x60;
export const PORT_CMOS = 0x70;
export const PORT_POST = 0x80;
export const PORT_FAST_A20 = 0x92;
export const PORT_COM1 = 0x3f8;
/** ACPI's power management block: events at +0, control at +4, timer at +8. */
export const PORT_PM = 0x600;
/** What a guest writes as the sleep type to switch the machine off; ACPI's \_S5 tells it. */
export const SLP_TYP_S5 = 5;
export const PORT_PCI_ADDRESS = 0xcf8;
export const PORT_RESET = 0xcf9;
export const PORT_PCI_DATA = 0xcfc;

export const IRQ_COM1 = 4;
export const IRQ_SCI = 9;
/** Inputs of the I/O APIC. */
export const IOAPIC_PINS = 24;
/** First of the eight inputs that PCI pins lead to. */
export const GSI_PCI = 16;
export const PCI_LINES = 8;
/** GSIs from here on are messages. */
export const GSI_MESSAGES = IOAPIC_PINS;

/** Input of the I/O APIC for a pin (1 INTA .. 4 INTD) of a function in `slot` of bus 0; level, active low. */
export function pciGsi(slot: number, pin: number): number {
  return GSI_PCI + ((slot + pin - 1) % PCI_LINES);
}

/** 64-bit memory of PCI functions: the third quarter of what the processor can address, above all RAM. */
export function mem64Window(physicalBits: number, ramEnd: number): AddressRange {
  const size = 2 ** (physicalBits - 2);
  const start = 2 * size;
  return ramEnd <= start ? { start, size } : { start: 0, size: 0 };
}
