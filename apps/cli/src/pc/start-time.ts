// From the start of the process to the first guest instruction: what the timeline of a VM is told of the time before it,
// and what is said about it afterwards. Node's own start is left out of that, since nothing here could make it shorter.
import type { TimelineMark, TimelineStart } from "@minivmm/vmm/pc";
import type { ProcessStart } from "../io.ts";

const NODE_UP = "Node is up";
/** The mark of the machine's thread when it calls KVM_RUN for the first time. */
const ENTERED = "guest entered";

/** To be called when the command line has been read. */
export function timelineStart({ origin, nodeUp }: ProcessStart): TimelineStart {
  const now = performance.timeOrigin + performance.now() - origin;
  const marks = [
    { name: NODE_UP, ms: nodeUp },
    { name: "command read", ms: now },
  ];
  return { origin, marks };
}

/** Milliseconds from Node's being up to the first guest instruction; undefined when one of them is not known. */
export function startMs(timeline: readonly TimelineMark[]): number | undefined {
  const at = (name: string): number | undefined => timeline.find((mark) => mark.name === name)?.ms;
  const [up, entered] = [at(NODE_UP), at(ENTERED)];
  return up === undefined || entered === undefined ? undefined : entered - up;
}
