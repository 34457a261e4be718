// Boot formats that are useful on their own: flattened device trees, ELF images, cpio archives, and what an x86 kernel
// is started with: boot parameters and ACPI tables (`aml` and `acpiResources` are for what a DSDT says).

export type { Aml, AmlValue } from "./acpi/aml.ts";
export * as aml from "./acpi/aml.ts";
export { AcpiArea } from "./acpi/area.ts";
export * as acpiResources from "./acpi/resources.ts";
export * as acpiTables from "./acpi/tables.ts";
export { type CpioEntry, cpioCharDevice, cpioDirectory, cpioFile, readCpio, writeCpio } from "./cpio.ts";
export {
  ELF_PPC64LE,
  ELF_X86_64,
  type ElfImage,
  type ElfSegment,
  type ElfTarget,
  loadElf,
  parseElf,
} from "./elf.ts";
export {
  cells64,
  decodeCells,
  decodeStrings,
  type FdtNode,
  type FdtReservation,
  type FdtTree,
  type FdtValue,
  fdtNode,
  findNode,
} from "./fdt.ts";
export { readFdt } from "./fdt-reader.ts";
export { type WriteFdtOptions, writeFdt } from "./fdt-writer.ts";
export { type BootLayout, type BootLayoutRequest, placeBootImages } from "./layout.ts";
export { BOOT_PARAMS_SIZE, type BootParams, encodeBootParams } from "./x86/boot-params.ts";
export { type AddressRange, E820_RAM, E820_RESERVED, type E820Entry, e820Map } from "./x86/e820.ts";
export { parseX86Kernel, type X86Kernel } from "./x86/kernel.ts";
export { loadX86Guest, X86_BOOT_AREA, type X86Boot, type X86LoadRequest } from "./x86/load.ts";
export { BOOT_CODE_SELECTOR, BOOT_DATA_SELECTOR, bootGdt, identityMap } from "./x86/page-tables.ts";
