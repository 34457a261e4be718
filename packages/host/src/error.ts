// The one error shape of the project. Every package derives its own class from it, so a caller can print any
// failure the same way: what failed (message), which rule (code), the kernel's number (errno), the facts
// (details) and what to do about it (hint). Things a kernel would refuse are return values (-errno), never this.

export interface MinivmmErrorOptions {
  /** Stable machine-readable name, upper case with underscores. */
  code: string;
  /** Positive errno when the failure came from a kernel, real or modelled. */
  errno?: number | undefined;
  /** Plain values that describe the failure. */
  details?: Record<string, unknown> | undefined;
  /** What the user can do about it, one sentence. */
  hint?: string | undefined;
  cause?: unknown;
}

export class MinivmmError extends Error {
  readonly code: string;
  declare readonly errno?: number;
  readonly details: Record<string, unknown>;
  declare readonly hint?: string;

  constructor(message: string, options: MinivmmErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.details = options.details ?? {};
    if (options.errno !== undefined) this.errno = options.errno;
    if (options.hint !== undefined) this.hint = options.hint;
  }
}
