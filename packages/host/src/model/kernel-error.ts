// How a driver of the modelled kernel refuses: it throws KernelError, and the system call returns -errno.
// Hot paths return negative numbers instead of throwing.

import { errnoName } from "../errno.ts";
import { MinivmmError } from "../error.ts";

export class KernelError extends MinivmmError {
  declare readonly errno: number;

  /** `errno` is positive; `reason` explains the refusal for logs. */
  constructor(errno: number, reason?: string) {
    super(reason ?? errnoName(errno), { code: errnoName(errno), errno });
  }
}

/** The system call boundary: -errno of a KernelError; any other error is a fault of the model and goes on. */
export function refusal(error: unknown): number {
  if (error instanceof KernelError) return -error.errno;
  throw error;
}
