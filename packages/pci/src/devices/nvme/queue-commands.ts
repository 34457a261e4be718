// Creating and deleting I/O queues (NVM Express 1.4 sections 5.3 to 5.6): every parameter is the host's, so every one is
// checked. Queue memory itself is not touched here; it is refused when first used.
import type { CommandContext } from "./context.ts";
import { completionQueue, submissionQueue } from "./queues.ts";
import { ccCompletionEntry, ccSubmissionEntry, MQES } from "./registers.ts";
import * as status from "./status.ts";

const PHYSICALLY_CONTIGUOUS = 1;
const INTERRUPTS_ENABLED = 2;
const SQE_SHIFT = 6;
const CQE_SHIFT = 4;

export function createCompletionQueue(controller: CommandContext, sqe: Uint32Array): number {
  const id = sqe[10]! & 0xffff;
  const last = sqe[10]! >>> 16;
  const flags = sqe[11]! & 0xffff;
  const vector = sqe[11]! >>> 16;
  if (id === 0 || id > controller.settings.queues || controller.completionQueues[id]) return status.INVALID_QUEUE_ID;
  const bad = checkRing(controller, sqe, last, ccCompletionEntry(controller.cc) === CQE_SHIFT);
  if (bad !== status.SUCCESS) return bad;
  if (vector >= controller.device.usableVectors) return status.INVALID_INTERRUPT_VECTOR;
  const place = { id, baseHi: sqe[7]!, baseLo: sqe[6]!, size: last + 1 };
  const enabled = (flags & INTERRUPTS_ENABLED) !== 0;
  controller.completionQueues[id] = completionQueue(place, { vector, enabled });
  return status.SUCCESS;
}

export function createSubmissionQueue(controller: CommandContext, sqe: Uint32Array): number {
  const id = sqe[10]! & 0xffff;
  const last = sqe[10]! >>> 16;
  const cqid = sqe[11]! >>> 16;
  const cq = cqid === 0 ? null : controller.completionQueues[cqid];
  if (!cq) return status.INVALID_CQ;
  if (id === 0 || id > controller.settings.queues || controller.submissionQueues[id]) return status.INVALID_QUEUE_ID;
  const bad = checkRing(controller, sqe, last, ccSubmissionEntry(controller.cc) === SQE_SHIFT);
  if (bad !== status.SUCCESS) return bad;
  const place = { id, baseHi: sqe[7]!, baseLo: sqe[6]!, size: last + 1 };
  controller.submissionQueues[id] = submissionQueue(place, cq);
  return status.SUCCESS;
}

export function deleteSubmissionQueue(controller: CommandContext, sqe: Uint32Array): number {
  const id = sqe[10]! & 0xffff;
  const queue = id === 0 ? null : controller.submissionQueues[id];
  if (!queue) return status.INVALID_QUEUE_ID;
  queue.cq.users--;
  controller.submissionQueues[id] = null;
  return status.SUCCESS;
}

export function deleteCompletionQueue(controller: CommandContext, sqe: Uint32Array): number {
  const id = sqe[10]! & 0xffff;
  const queue = id === 0 ? null : controller.completionQueues[id];
  if (!queue) return status.INVALID_QUEUE_ID;
  if (queue.users > 0) return status.INVALID_QUEUE_DELETION;
  controller.completionQueues[id] = null;
  controller.interrupts.forget(queue);
  return status.SUCCESS;
}

/** What both kinds share: size, contiguity, entry size and alignment of the base. */
function checkRing(controller: CommandContext, sqe: Uint32Array, last: number, entrySizeSet: boolean): number {
  if (last === 0 || last > MQES || !entrySizeSet) return status.INVALID_QUEUE_SIZE;
  if (!(sqe[11]! & PHYSICALLY_CONTIGUOUS)) return status.INVALID_FIELD;
  return sqe[6]! & (controller.pageSize - 1) ? status.INVALID_PRP_OFFSET : status.SUCCESS;
}
