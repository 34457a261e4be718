// What the main thread of a VM and the thread of its machine tell one another. Messages are seen at a turn of the event
// loop; the one who sends to a thread that runs the guest gets it out of there first (kick).
import type { X86Boot } from "../../boot/index.ts";
import type { CoherencyReport } from "../../coherency/report.ts";
import type { SharedRam } from "../../machines/pc/shared-ram.ts";
import type { MachineAttributes } from "../../running-attributes.ts";
import type { PcSummary } from "../../summary.ts";
import type { RunEnd } from "../accelerator.ts";
import type { PackedError } from "./error-transport.ts";

/** Where the machine's thread gets its host and devices from; see PlatformModule. */
export interface PlatformSource {
  /** URL of a module that exports `openPlatform`. */
  readonly module: string;
  /** Handed to it; plain data. */
  readonly data: unknown;
}

export interface MachineThreadData {
  readonly shared: SharedArrayBuffer;
  readonly ram: SharedRam;
  readonly cpus: number;
  readonly platform: PlatformSource;
  /** Milliseconds since 1970 at which the VM's timeline begins. */
  readonly origin: number;
  /** What devices do with memory is looked at. */
  readonly coherency: boolean;
}

export interface CpuThreadData {
  readonly shared: SharedArrayBuffer;
  readonly cpu: number;
}

export type ToMachine =
  | { readonly type: "boot"; readonly boot: X86Boot }
  | { readonly type: "run" }
  | { readonly type: "input"; readonly bytes: Uint8Array }
  /** A descriptor that the machine asked to have watched is readable. */
  | { readonly type: "readable"; readonly watch: number }
  /** Answered with `attributes` or `noAttributes`, in order, until the machine has ended. */
  | { readonly type: "attributes" }
  /** Give everything back; the machine does not run (any more). */
  | { readonly type: "close" };

export type FromMachine =
  /** The machine waits for `run`. */
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly error: PackedError }
  | { readonly type: "output"; readonly bytes: Uint8Array }
  | { readonly type: "watch"; readonly watch: number; readonly fd: number }
  | { readonly type: "unwatch"; readonly watch: number }
  /** Kick the machine's thread after so many milliseconds: a timer of it is due then. */
  | { readonly type: "wake"; readonly ms: number }
  | { readonly type: "attributes"; readonly attributes: MachineAttributes }
  | { readonly type: "noAttributes"; readonly error: PackedError }
  /** The checker of DMA has found a mistake that is new. */
  | { readonly type: "coherency"; readonly report: CoherencyReport }
  | { readonly type: "summary"; readonly summary: PcSummary }
  | { readonly type: "ended"; readonly end: RunEnd };
