// Guest programs: readable examples of the mini assembler, and what the machine is tried with.

export { bareDiskProgram } from "./bare-disk.ts";
export {
  DMA_BLOCKS,
  DMA_BYTES,
  DMA_PASS,
  DMA_RAM,
  DMA_STOPWATCH,
  type DmaPart,
  dmaPattern,
  dmaProgram,
} from "./bare-dma.ts";
export {
  FRAMES_DISPLAY_MEMORY,
  FRAMES_PASS,
  FRAMES_RAM,
  FRAMES_STOPWATCH,
  type FramesPart,
  framesPartOffset,
  framesPattern,
  framesProgram,
} from "./bare-frames.ts";
export { type BareDiskOptions, MMIO_WINDOW_32, MMIO_WINDOW_64 } from "./bare-layout.ts";
export {
  TCE_BENCH_DISK,
  TCE_BENCH_PASS,
  TCE_BENCH_RAM,
  TCE_BENCH_WRITTEN,
  type TceBenchPart,
  tceBenchBatch,
  tceBenchProgram,
} from "./bare-tce.ts";
export { type DiskPattern, diskPattern, READ_PATTERN, WRITE_PATTERN } from "./disk-pattern.ts";
export { NVME_MODULES, VSCSI_MODULES } from "./linux-calls.ts";
export type { LinuxDiskInitOptions } from "./linux-disk.ts";
export { LINUX_FRAMES_WC_OFFSET, type LinuxFramesInitOptions, linuxFramesInit } from "./linux-frames.ts";
export { linuxDiskInit } from "./linux-init.ts";
