// ACPI's tables with fixed layouts, as bytes: root pointer, XSDT, FADT, FACS, MADT, MCFG; and the frame of any other.
// Source: ACPI 6.5 section 5.2; PCI Firmware 3.3 section 4.1.2 (MCFG).
// Invariants: all bytes of a table sum to 0 modulo 256, as do the first 20 and all 36 of the root pointer; the FACS has
// no checksum.
import { acpiValue, ascii, concat, le, padded } from "./bytes.ts";

/** Who made the tables, as all of their headers say. */
export interface AcpiOem {
  /** At most six letters. */
  readonly id: string;
  /** At most eight letters. */
  readonly tableId: string;
}

const CREATOR = "MVMM";
const HEADER_SIZE = 36;
const CHECKSUM_AT = 9;
export const RSDP_SIZE = 36;
export const FACS_SIZE = 64;

/** What makes the bytes' sum a multiple of 256. */
function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** A table: header and body. */
export function acpiTable(signature: string, revision: number, oem: AcpiOem, body: Uint8Array): Uint8Array {
  if (signature.length !== 4) throw acpiValue(`the signature "${signature}" has not four letters`);
  const table = concat(
    ascii(signature),
    le(HEADER_SIZE + body.length, 4),
    [revision, 0],
    padded(oem.id, 6),
    padded(oem.tableId, 8),
    le(1, 4),
    ascii(CREATOR),
    le(1, 4),
    body,
  );
  table[CHECKSUM_AT] = checksum(table);
  return table;
}

/** The root pointer, revision 2, without an RSDT. It belongs at a multiple of 16. */
export function rsdp(oem: AcpiOem, xsdtAddress: number): Uint8Array {
  const bytes = concat(
    ascii("RSD PTR "),
    [0],
    padded(oem.id, 6),
    [2],
    le(0, 4),
    le(RSDP_SIZE, 4),
    le(xsdtAddress, 8),
    [0, 0, 0, 0],
  );
  bytes[8] = checksum(bytes.subarray(0, 20));
  bytes[32] = checksum(bytes);
  return bytes;
}

export function xsdt(oem: AcpiOem, addresses: readonly number[]): Uint8Array {
  return acpiTable("XSDT", 1, oem, concat(...addresses.map((address) => le(address, 8))));
}

/** Memory that firmware and operating system share; the guest writes its global lock. It belongs at a multiple of 64. */
export function facs(): Uint8Array {
  const bytes = new Uint8Array(FACS_SIZE);
  bytes.set(ascii("FACS"));
  bytes.set(le(FACS_SIZE, 4), 4);
  bytes[32] = 2;
  return bytes;
}

export const FADT_WBINVD = 1 << 0;
export const FADT_PROC_C1 = 1 << 2;
/** There is no fixed sleep button. */
export const FADT_SLP_BUTTON = 1 << 5;
/** There is no wake-up by the clock in the fixed registers. */
export const FADT_FIX_RTC = 1 << 6;
/** The timer has 32 bits, not 24. */
export const FADT_TMR_VAL_EXT = 1 << 8;
export const FADT_RESET_REG_SUP = 1 << 10;

/** `IAPC_BOOT_ARCH`: there are devices at ISA's ports. */
export const FADT_LEGACY_DEVICES = 1 << 0;
export const FADT_VGA_NOT_PRESENT = 1 << 2;

export interface FadtOptions {
  readonly facsAddress: number;
  readonly dsdtAddress: number;
  /** GSI of the system control interrupt. */
  readonly sci: number;
  /** Ports of the fixed registers: 4 bytes of events, 2 of control, 4 of timer. */
  readonly pm: { readonly event: number; readonly control: number; readonly timer: number };
  /** A byte to write to a port resets the machine. */
  readonly reset: { readonly port: number; readonly value: number };
  /** FADT_* */
  readonly flags: number;
  /** `IAPC_BOOT_ARCH` */
  readonly bootArchitecture: number;
  /** Index of the century in the clock's memory; 0 for none. */
  readonly century: number;
}

const FADT_SIZE = 276;
const SPACE_IO = 1;
/** C2 and C3 latencies above these say that there is no such state. */
const NO_C2 = 101;
const NO_C3 = 1001;

/** Revision 6.5. There is no SMI command: the machine is in ACPI mode from the start. */
export function fadt(oem: AcpiOem, options: FadtOptions): Uint8Array {
  const { facsAddress, dsdtAddress, sci, pm, reset, flags, bootArchitecture, century } = options;
  const body = new Uint8Array(FADT_SIZE - HEADER_SIZE);
  const put = (at: number, bytes: readonly number[]): void => body.set(bytes, at - HEADER_SIZE);
  const port = (number: number, size: 1 | 2 | 4): number[] => [
    SPACE_IO,
    size * 8,
    0,
    size === 4 ? 3 : size,
    ...le(number, 8),
  ];
  put(36, le(facsAddress, 4));
  put(40, le(dsdtAddress, 4));
  put(46, le(sci, 2));
  put(56, le(pm.event, 4));
  put(64, le(pm.control, 4));
  put(76, le(pm.timer, 4));
  put(88, [4, 2, 0, 4]);
  put(96, le(NO_C2, 2));
  put(98, le(NO_C3, 2));
  put(108, le(century, 1));
  put(109, le(bootArchitecture, 2));
  put(112, le(flags, 4));
  put(116, port(reset.port, 1));
  put(128, le(reset.value, 1));
  put(131, [5]);
  // The FACS may be named once only, the DSDT twice.
  put(140, le(dsdtAddress, 8));
  put(148, port(pm.event, 4));
  put(172, port(pm.control, 2));
  put(208, port(pm.timer, 4));
  return acpiTable("FACP", 6, oem, body);
}

/** Of an interrupt: when it is there, and how it looks. */
export const MADT_CONFORMS = 0;
export const MADT_ACTIVE_HIGH_LEVEL = 0x0d;

export interface MadtOptions {
  readonly lapicAddress: number;
  /** Processors: ACPI's number and APIC id, each below 255. */
  readonly cpus: readonly { readonly uid: number; readonly apicId: number }[];
  readonly ioApic: { readonly id: number; readonly address: number; readonly gsiBase: number };
  /** ISA interrupts that do not lead to the GSI of their number, or look different; `flags` are MADT_*. */
  readonly overrides: readonly { readonly irq: number; readonly gsi: number; readonly flags: number }[];
}

const PCAT_COMPAT = 1;
const LAPIC_ENABLED = 1;
const ALL_CPUS = 0xff;
const NMI_LINT = 1;

/** Interrupt controllers. There are two PICs beside them, and LINT1 of each local APIC is NMI. */
export function madt(oem: AcpiOem, { lapicAddress, cpus, ioApic, overrides }: MadtOptions): Uint8Array {
  const entry = (type: number, bytes: readonly number[]): number[] => [type, bytes.length + 2, ...bytes];
  return acpiTable(
    "APIC",
    5,
    oem,
    concat(
      le(lapicAddress, 4),
      le(PCAT_COMPAT, 4),
      ...cpus.map(({ uid, apicId }) => entry(0, [...le(uid, 1), ...le(apicId, 1), ...le(LAPIC_ENABLED, 4)])),
      entry(1, [...le(ioApic.id, 1), 0, ...le(ioApic.address, 4), ...le(ioApic.gsiBase, 4)]),
      ...overrides.map(({ irq, gsi, flags }) => entry(2, [0, ...le(irq, 1), ...le(gsi, 4), ...le(flags, 2)])),
      entry(4, [ALL_CPUS, ...le(MADT_CONFORMS, 2), NMI_LINT]),
    ),
  );
}

/** Configuration space of buses in memory; `base` is where bus 0 would be. */
export function mcfg(oem: AcpiOem, base: number, firstBus: number, lastBus: number): Uint8Array {
  const body = concat(le(0, 8), le(base, 8), le(0, 2), le(firstBus, 1), le(lastBus, 1), le(0, 4));
  return acpiTable("MCFG", 1, oem, body);
}
