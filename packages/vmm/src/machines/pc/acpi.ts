// What machine pc tells its guest about itself: ACPI tables, whose DSDT describes the host bridge, the processors and the
// devices at fixed ports. Everything in them is of memory-map.ts; nothing is loaded, found out or changed later.
// Source: ACPI 6.5; PCI Firmware 3.3 (_OSC, MCFG); the choice of what is described follows QEMU 7.2's q35.
// Why an _OSC: without one, Linux takes a PCI Express bridge to keep its features to itself, and switches ASPM off.
import * as aml from "../../boot/acpi/aml.ts";
import { AcpiArea } from "../../boot/acpi/area.ts";
import { concat } from "../../boot/acpi/bytes.ts";
import * as resource from "../../boot/acpi/resources.ts";
import * as table from "../../boot/acpi/tables.ts";
import {
  type AddressRange,
  BIOS_AREA,
  ECAM,
  IO_WINDOW,
  IOAPIC_ADDRESS,
  IRQ_COM1,
  IRQ_SCI,
  LAPIC_ADDRESS,
  MEM32_WINDOW,
  PORT_CMOS,
  PORT_COM1,
  PORT_PCI_ADDRESS,
  PORT_PM,
  PORT_RESET,
  pciGsi,
  SLP_TYP_S5,
} from "./memory-map.ts";

export interface PcAcpiOptions {
  /** 1 to 254; CPU n has APIC id n. */
  readonly cpus: number;
  /** 64-bit memory of PCI functions; size 0 for none. */
  readonly mem64: AddressRange;
}

export interface PcAcpi {
  /** To be copied to `address`, in BIOS_AREA. */
  readonly bytes: Uint8Array;
  readonly address: number;
  /** For boot_params; at a place where a search finds it too. */
  readonly rsdpAddress: number;
}

const OEM = { id: "MINIVM", tableId: "MINIVMPC" };
const PM_SIZE = 12;
const RESET_VALUE = 6;
const CMOS_CENTURY = 0x32;
const IRQ_RTC = 8;
const IRQ_TIMER = 0;
/** KVM's interval timer raises GSI 0, and its I/O APIC has that at pin 2, as PCs do. */
const GSI_TIMER = 2;

/** Throws VmmError ACPI_VALUE for more CPUs than the tables can name. */
export function pcAcpiTables({ cpus, mem64 }: PcAcpiOptions): PcAcpi {
  const area = new AcpiArea(BIOS_AREA.start, BIOS_AREA.size);
  const rsdpAddress = area.reserve(table.RSDP_SIZE);
  const facsAddress = area.add(table.facs(), 64);
  const dsdtAddress = area.add(table.acpiTable("DSDT", 2, OEM, dsdt(cpus, mem64)));
  const tables = [
    table.fadt(OEM, {
      facsAddress,
      dsdtAddress,
      sci: IRQ_SCI,
      pm: { event: PORT_PM, control: PORT_PM + 4, timer: PORT_PM + 8 },
      reset: { port: PORT_RESET, value: RESET_VALUE },
      flags:
        table.FADT_WBINVD |
        table.FADT_PROC_C1 |
        table.FADT_SLP_BUTTON |
        table.FADT_FIX_RTC |
        table.FADT_TMR_VAL_EXT |
        table.FADT_RESET_REG_SUP,
      bootArchitecture: table.FADT_LEGACY_DEVICES | table.FADT_VGA_NOT_PRESENT,
      century: CMOS_CENTURY,
    }),
    table.madt(OEM, {
      lapicAddress: LAPIC_ADDRESS,
      cpus: Array.from({ length: cpus }, (_, index) => ({ uid: index, apicId: index })),
      ioApic: { id: 0, address: IOAPIC_ADDRESS, gsiBase: 0 },
      overrides: [
        { irq: IRQ_TIMER, gsi: GSI_TIMER, flags: table.MADT_CONFORMS },
        { irq: IRQ_SCI, gsi: IRQ_SCI, flags: table.MADT_ACTIVE_HIGH_LEVEL },
      ],
    }),
    table.mcfg(OEM, ECAM.start, 0, 0),
  ];
  const xsdtAddress = area.add(
    table.xsdt(
      OEM,
      tables.map((bytes) => area.add(bytes)),
    ),
  );
  area.put(rsdpAddress, table.rsdp(OEM, xsdtAddress));
  return { bytes: area.bytes, address: area.start, rsdpAddress };
}

function dsdt(cpus: number, mem64: AddressRange): aml.Aml {
  const processors = Array.from({ length: cpus }, (_, index) =>
    aml.device(cpuName(index), aml.name("_HID", "ACPI0007"), aml.name("_UID", index)),
  );
  const devices = [hostBridge(mem64), motherboard(), serialPort(), clock(), ...processors];
  // The sleep type stands there for two control registers, of which the first one exists.
  return concat(aml.scope("\\_SB", ...devices), aml.name("\\_S5", [SLP_TYP_S5, SLP_TYP_S5, 0, 0]));
}

const cpuName = (index: number): string => `C${index.toString(16).toUpperCase().padStart(3, "0")}`;

function hostBridge(mem64: AddressRange): aml.Aml {
  return aml.device(
    "PCI0",
    aml.name("_HID", aml.eisaId("PNP0A08")),
    aml.name("_CID", aml.eisaId("PNP0A03")),
    aml.name("_UID", 0),
    aml.name("_SEG", 0),
    aml.name("_BBN", 0),
    aml.name(
      "_CRS",
      resource.resourceTemplate(
        resource.wordBusNumber(0, 0),
        resource.io(PORT_PCI_ADDRESS, 8),
        resource.wordIo(IO_WINDOW.start, IO_WINDOW.size),
        resource.dwordMemory(MEM32_WINDOW.start, MEM32_WINDOW.size),
        ...(mem64.size > 0 ? [resource.qwordMemory(mem64.start, mem64.size)] : []),
      ),
    ),
    aml.name("_PRT", interruptRouting()),
    osc(),
  );
}

/** Each pin of each slot leads to its GSI, without a device in between that could be set up otherwise. */
function interruptRouting(): aml.Aml {
  const routes: number[][] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) routes.push([slot * 0x1_0000 + 0xffff, pin, 0, pciGsi(slot, pin + 1)]);
  }
  return aml.pkg(routes);
}

const PCI_OSC_UUID = "33db4d5b-1ff7-401c-9657-7441c03dd766";
const OSC_UNKNOWN_UUID = 4;
const OSC_UNKNOWN_REVISION = 8;
const OSC_MASKED = 0x10;
/** Power management events, error reporting, the capability's structure, latency tolerance; hot plug there is none. */
const OSC_GRANTED = 0x3c;

/** _OSC (UUID, revision, number of words, words): what of PCI Express the operating system may do by itself. */
function osc(): aml.Aml {
  const [id, revision, words] = [aml.arg(0), aml.arg(1), aml.arg(3)];
  const status = aml.ref("CDW1");
  const control = aml.ref("CDW3");
  const fail = (bit: number): aml.Aml => aml.or(status, bit, status);
  return aml.method(
    "_OSC",
    { args: 4, serialized: true },
    aml.createDWordField(words, 0, "CDW1"),
    aml.when(
      aml.equal(id, aml.uuid(PCI_OSC_UUID)),
      [
        aml.createDWordField(words, 8, "CDW3"),
        aml.when(aml.not(aml.equal(revision, 1)), [fail(OSC_UNKNOWN_REVISION)]),
        aml.when(aml.not(aml.equal(aml.and(control, OSC_GRANTED), control)), [fail(OSC_MASKED)]),
        aml.and(control, OSC_GRANTED, control),
      ],
      [fail(OSC_UNKNOWN_UUID)],
    ),
    aml.giveBack(words),
  );
}

/** What is taken without being a device: configuration space in memory, without which Linux does not use it. */
function motherboard(): aml.Aml {
  return aml.device(
    "MRES",
    aml.name("_HID", aml.eisaId("PNP0C02")),
    aml.name("_UID", 0),
    aml.name(
      "_CRS",
      resource.resourceTemplate(resource.memory32Fixed(ECAM.start, ECAM.size), resource.io(PORT_PM, PM_SIZE)),
    ),
  );
}

function serialPort(): aml.Aml {
  return aml.device(
    "COM1",
    aml.name("_HID", aml.eisaId("PNP0501")),
    aml.name("_UID", 1),
    aml.name("_CRS", resource.resourceTemplate(resource.io(PORT_COM1, 8), resource.irqNoFlags(IRQ_COM1))),
  );
}

function clock(): aml.Aml {
  return aml.device(
    "RTC0",
    aml.name("_HID", aml.eisaId("PNP0B00")),
    aml.name("_CRS", resource.resourceTemplate(resource.io(PORT_CMOS, 2), resource.irqNoFlags(IRQ_RTC))),
  );
}
