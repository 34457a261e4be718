// The package's one error class. A `code` that starts with USAGE_ means that the caller can put it right by
// asking differently (a command line shows it without a stack); every other code is a failure of the machine,
// of the host below it, or of a file.
import { MinivmmError } from "@minivmm/host/error";

export type VmmErrorCode =
  | "USAGE_CONFIG"
  | "USAGE_ACCEL"
  | "USAGE_MEMORY_TOO_SMALL"
  | "USAGE_MEMORY_TOO_LARGE"
  | "USAGE_MEMORY_ALIGNMENT"
  | "USAGE_KERNEL_UNREADABLE"
  | "USAGE_COMMAND_LINE"
  | "USAGE_DEVICE"
  | "ELF_NOT_ELF"
  | "ELF_WRONG_CLASS"
  | "ELF_WRONG_MACHINE"
  | "ELF_WRONG_ENDIANNESS"
  | "ELF_TRUNCATED"
  | "ELF_NO_SEGMENT"
  | "ELF_TOO_BIG"
  | "KERNEL_BAD_PLACE"
  | "BZIMAGE_NOT_A_KERNEL"
  | "BZIMAGE_TOO_OLD"
  | "BZIMAGE_NO_64BIT_ENTRY"
  | "BZIMAGE_TRUNCATED"
  | "ACPI_VALUE"
  | "FDT_MALFORMED"
  | "FDT_VALUE"
  | "CPIO_MALFORMED"
  | "CPIO_TRUNCATED"
  | "VM_STATE"
  | "KVM_SETUP"
  | "DMA_WINDOW"
  | "PASSTHROUGH";

export interface VmmErrorOptions {
  readonly code: VmmErrorCode;
  readonly errno?: number;
  readonly details?: Record<string, unknown>;
  readonly hint?: string;
  readonly cause?: unknown;
}

export class VmmError extends MinivmmError {
  constructor(message: string, options: VmmErrorOptions) {
    super(message, options);
    this.name = "VmmError";
  }
}

/** "0x1234" for messages; works for any integer that a number holds exactly. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
