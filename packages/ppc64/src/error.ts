// The package's error class. This package stands on the lowest floor and imports nothing, so the shape (code, errno,
// details, hint) is the workspace's, but the class is its own.

export interface Ppc64ErrorInfo {
  /** Stable name for programs: "ASM_RANGE", "ASM_LABEL", ... */
  readonly code: string;
  readonly details?: Record<string, unknown>;
  /** What the caller can do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Thrown for mistakes of the host program (assembler input, engine options); never for anything a guest does. */
export class Ppc64Error extends Error {
  readonly code: string;
  readonly details: Record<string, unknown>;
  readonly hint: string | undefined;

  constructor(message: string, info: Ppc64ErrorInfo) {
    super(message, info.cause === undefined ? undefined : { cause: info.cause });
    this.name = "Ppc64Error";
    this.code = info.code;
    this.details = info.details ?? {};
    this.hint = info.hint;
  }
}
