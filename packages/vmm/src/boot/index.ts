// Boot formats that are useful on their own: flattened device trees, ELF images, cpio archives.
export { type CpioEntry, cpioCharDevice, cpioDirectory, cpioFile, readCpio, writeCpio } from "./cpio.ts";
export { type ElfImage, type ElfSegment, loadElf, parseElf } from "./elf.ts";
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
