// One frame of a UHCI schedule (UHCI 1.1 chapter 3): a list of queue heads and transfer descriptors in memory. With no
// device on the bus every active descriptor ends as stalled after a time-out, which is written back.
// Invariant: a frame has room for a bounded number of descriptors, so a list that loops ends with the frame.
import type { DmaPort } from "../../ports.ts";

const LINK_TERMINATE = 1;
const LINK_QUEUE = 2;
const TD_STATUS = 1;
const TD_INTERRUPT = 0x0100_0000;
const TD_ACTIVE = 0x0080_0000;
const TD_STALLED = 0x0040_0000;
const TD_TIMEOUT = 0x0004_0000;
/** The error counter has run down. */
const TD_ERROR_COUNT = 0x1800_0000;
const MAX_DESCRIPTORS = 256;

export interface FrameResult {
  readonly failed: boolean;
  readonly interrupt: boolean;
}

const QUIET: FrameResult = { failed: false, interrupt: false };
const words = new Uint32Array(4);
const bytes = new Uint8Array(words.buffer);

/** Execute the frame whose list entry is at `entry`. "refused": memory could not be read or written. */
export function walkFrame(dma: DmaPort, entry: number): FrameResult | "refused" {
  if (!dma.read(0, entry >>> 0, bytes.subarray(0, 4))) return "refused";
  let link = words[0]!;
  let failed = false;
  let interrupt = false;
  for (let n = 0; n < MAX_DESCRIPTORS && !(link & LINK_TERMINATE); n++) {
    const at = (link & ~0xf) >>> 0;
    if (!dma.read(0, at, bytes)) return "refused";
    if (link & LINK_QUEUE) {
      // An element pointer leads into the queue; an empty queue goes on to the next head.
      link = words[1]! & LINK_TERMINATE ? words[0]! : words[1]!;
      continue;
    }
    const next = words[0]!;
    const status = words[TD_STATUS]!;
    if (status & TD_ACTIVE) {
      words[0] = (status & ~(TD_ACTIVE | TD_ERROR_COUNT)) | TD_STALLED | TD_TIMEOUT;
      if (!dma.write(0, at + 4, bytes.subarray(0, 4))) return "refused";
      failed = true;
      if (status & TD_INTERRUPT) interrupt = true;
    }
    link = next;
  }
  return failed ? { failed, interrupt } : QUIET;
}
