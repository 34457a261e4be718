// @minivmm/pci/devices: device models. They know registers only; whoever plugs one sets its `dma` and `irq` ports.
export * from "./chipset/index.ts";
export { type Disk, fileDisk, memoryDisk, nullDisk } from "./disk.ts";
export { E1000eDevice, type E1000eOptions, type EthernetWire } from "./e1000e/index.ts";
export { EduDevice, type EduOptions, edu } from "./edu.ts";
export { HdaDevice, type HdaOptions } from "./hda/index.ts";
export { NvmeDevice, type NvmeOptions, nvme } from "./nvme/index.ts";
export { type OptionRomOptions, optionRom, type RomImage } from "./option-rom.ts";
export { PassiveDevice, type PassiveOptions, passive } from "./passive.ts";
export { PciTestDevice } from "./testdev.ts";
export { type After, realAfter } from "./timer.ts";
export * from "./usb/index.ts";
export { LegacyVga, VgaDevice, type VgaOptions } from "./vga/index.ts";
export { VirtioSerial } from "./virtio/serial.ts";
