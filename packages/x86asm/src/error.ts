// The package's error class. This package stands on the lowest floor and imports nothing, so the shape (code, details,
// hint) is the workspace's, but the class is its own.

export interface X86AsmErrorInfo {
  /** Stable name for programs: "ASM_OPERANDS", "ASM_RANGE", "ASM_LABEL". */
  readonly code: string;
  readonly details?: Record<string, unknown>;
  /** What the caller can do about it. */
  readonly hint?: string;
}

/** Thrown for mistakes in a program that is being assembled. */
export class X86AsmError extends Error {
  readonly code: string;
  readonly details: Record<string, unknown>;
  readonly hint: string | undefined;

  constructor(message: string, info: X86AsmErrorInfo) {
    super(message);
    this.name = "X86AsmError";
    this.code = info.code;
    this.details = info.details ?? {};
    this.hint = info.hint;
  }
}
