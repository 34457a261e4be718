// What a command sees of its controller: the function it belongs to, queues, features, and the completion in the making.
// The controller is the only implementation; commands know nothing else of it.
import type { DmaPort } from "../../ports.ts";
import type { Disk } from "../disk.ts";
import type { AsyncEvents } from "./events.ts";
import type { FeatureHost, Features } from "./features.ts";
import type { InterruptSink, NvmeInterrupts } from "./interrupts.ts";
import type { PrpTransfer } from "./prp.ts";
import type { CompletionQueue, SubmissionQueue } from "./queues.ts";
import type { Statistics } from "./statistics.ts";

/** The controller's view of its PCI function. */
export interface NvmeFunction extends InterruptSink {
  readonly dma: DmaPort;
  /** Vectors that queues may name now. */
  readonly usableVectors: number;
}

export interface CommandContext extends FeatureHost {
  readonly device: NvmeFunction;
  readonly disk: Disk;
  readonly transfer: PrpTransfer;
  readonly features: Features;
  readonly interrupts: NvmeInterrupts;
  readonly events: AsyncEvents;
  readonly statistics: Statistics;
  /** By queue id; 0 is the admin pair. */
  readonly submissionQueues: (SubmissionQueue | null)[];
  readonly completionQueues: (CompletionQueue | null)[];
  /** CC at the time of enabling; bytes of a memory page that follow from it. */
  readonly cc: number;
  readonly pageSize: number;
}
