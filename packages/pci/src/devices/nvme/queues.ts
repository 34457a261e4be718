// Submission and completion queues: rings in guest memory with an index on either side (NVM Express 1.4 section 4.1).
// Invariants: 0 <= head, tail < size; a completion queue is full with one slot left; its phase flips on every wrap.

export const SQE_SIZE = 64;
export const CQE_SIZE = 16;

export interface SubmissionQueue {
  readonly id: number;
  readonly baseHi: number;
  readonly baseLo: number;
  readonly size: number;
  readonly cq: CompletionQueue;
  head: number;
  tail: number;
}

export interface CompletionQueue {
  readonly id: number;
  readonly baseHi: number;
  readonly baseLo: number;
  readonly size: number;
  readonly vector: number;
  readonly interrupts: boolean;
  head: number;
  tail: number;
  phase: 0 | 1;
  /** Entries were posted since the last interrupt. */
  signalPending: boolean;
  /** Submission queues that complete here. */
  users: number;
}

export interface QueuePlace {
  readonly id: number;
  readonly baseHi: number;
  readonly baseLo: number;
  /** Entries. */
  readonly size: number;
}

export function submissionQueue(place: QueuePlace, cq: CompletionQueue): SubmissionQueue {
  cq.users++;
  return { ...place, cq, head: 0, tail: 0 };
}

export function completionQueue(place: QueuePlace, interrupt: { vector: number; enabled: boolean }): CompletionQueue {
  return {
    ...place,
    vector: interrupt.vector,
    interrupts: interrupt.enabled,
    head: 0,
    tail: 0,
    phase: 1,
    signalPending: false,
    users: 0,
  };
}

export function isFull(cq: CompletionQueue): boolean {
  const next = cq.tail + 1 === cq.size ? 0 : cq.tail + 1;
  return next === cq.head;
}
