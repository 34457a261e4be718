// @minivmm/pci/devices: device models. They know registers only; whoever plugs one sets its `dma` and `irq` ports.
export { type Disk, fileDisk, memoryDisk } from "./disk.ts";
export { EduDevice, type EduOptions, edu } from "./edu.ts";
export { NvmeDevice, type NvmeOptions, nvme } from "./nvme/index.ts";
export { PassiveDevice, type PassiveOptions, passive } from "./passive.ts";
export { type After, realAfter } from "./timer.ts";
