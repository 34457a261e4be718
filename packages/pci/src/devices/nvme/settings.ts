// What the maker of a controller may choose, with defaults, and the facts that follow from it.
import type { Disk } from "../disk.ts";
import { VERSION_1_4 } from "./registers.ts";

export interface NvmeOptions {
  /** What namespace 1 stores on. */
  disk: Disk;
  /** PCI ids. Default 1b36:0010, subsystem 1af4:1100. */
  vendor?: number;
  device?: number;
  subsystemVendor?: number;
  subsystem?: number;
  /** Up to 20 ASCII characters. Default "minivmm". */
  serial?: string;
  /** Up to 40 ASCII characters. Default "minivmm NVMe". */
  model?: string;
  /** Up to 8 ASCII characters. Default "1.0". */
  firmware?: string;
  /** I/O queue pairs, 1..64. Default 64. */
  queues?: number;
  /** MSI-X vectors. Default: one for each queue pair and one for the admin queue. */
  vectors?: number;
  /** The controller is a physical function with virtual ones. */
  sriov?: NvmeSriovOptions;
  /** Bytes of a logical block: 512 or 4096. Default 512. */
  blockSize?: 512 | 4096;
  /** Largest transfer is 4096 << mdts bytes, mdts 1..8. Default 7 (512 KiB). */
  mdts?: number;
  /** The controller tells of its I/O command sets (CAP.CSS bits 6 and 7), of which there is one. Default false. */
  commandSets?: boolean;
  /** What firmware left in the admin queue registers. Default: zeroes. */
  adminQueues?: NvmeAdminQueues;
  /** Message mechanism besides INTx. Default "msix". */
  interrupts?: "msix" | "msi" | "intx";
}

/** AQA, and the low halves of ASQ and ACQ. */
export interface NvmeAdminQueues {
  readonly attributes: number;
  readonly submission: number;
  readonly completion: number;
}

/** Virtual functions are secondary controllers; of the primary one's resources some can be given to them. */
export interface NvmeSriovOptions {
  /** How many there can be, 1..127. */
  vfs: number;
  /** Of `queues`: how many the physical function leaves to them. Default 0. */
  flexibleQueues?: number;
  /** Of `vectors`: the same. Default 0. */
  flexibleVectors?: number;
}

export interface NvmeSettings {
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  readonly vendor: number;
  readonly subsystemVendor: number;
  readonly queues: number;
  readonly blockSize: number;
  readonly mdts: number;
  readonly version: number;
  /** Blocks of the namespace. */
  readonly blocks: number;
  /** Interrupt vectors the function has. */
  readonly vectors: number;
  readonly commandSets: boolean;
}

/** Vectors of the MSI variant; MSI-X has one for each queue pair and one for the admin queue. */
const MSI_VECTORS = 8;

export function nvmeSettings(options: NvmeOptions): NvmeSettings {
  const { disk, queues = 64, blockSize = 512, mdts = 7, interrupts = "msix" } = options;
  const { flexibleQueues = 0, flexibleVectors = 0 } = options.sriov ?? {};
  const pairs = Math.min(64, Math.max(1, Math.trunc(queues)));
  const clamped = Math.max(1, pairs - Math.trunc(flexibleQueues));
  const msix = Math.min(2048, Math.max(1, Math.trunc((options.vectors ?? pairs + 1) - flexibleVectors)));
  return {
    serial: options.serial ?? "minivmm",
    model: options.model ?? "minivmm NVMe",
    firmware: options.firmware ?? "1.0",
    vendor: options.vendor ?? 0x1b36,
    subsystemVendor: options.subsystemVendor ?? 0x1af4,
    queues: clamped,
    blockSize,
    mdts: Math.min(8, Math.max(1, Math.trunc(mdts))),
    version: VERSION_1_4,
    blocks: Math.floor(disk.size / blockSize),
    commandSets: options.commandSets ?? false,
    vectors: interrupts === "msix" ? msix : interrupts === "msi" ? MSI_VECTORS : 1,
  };
}
