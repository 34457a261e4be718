// Errors from one thread to another: the structured clone keeps neither class nor fields of an error, so they travel as
// plain data and are made anew. Invariant: code, errno, details, hint and the chain of causes survive.
import { MinivmmError } from "@minivmm/host/error";

export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly errno?: number;
  readonly details?: Record<string, unknown>;
  readonly hint?: string;
  readonly stack?: string;
  readonly cause?: PackedError;
}

export function packError(error: unknown): PackedError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message, stack, cause } = error;
  const base = {
    name,
    message,
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause: packError(cause) }),
  };
  if (!(error instanceof MinivmmError)) return base;
  const { code, errno, details, hint } = error;
  return {
    ...base,
    code,
    ...(errno === undefined ? {} : { errno }),
    details: plain(details),
    ...(hint === undefined ? {} : { hint }),
  };
}

export function unpackError(packed: PackedError): Error {
  const { name, message, code, errno, details, hint, stack } = packed;
  const cause = packed.cause === undefined ? undefined : unpackError(packed.cause);
  const error =
    code === undefined
      ? new Error(message, { cause })
      : new MinivmmError(message, { code, errno, details, hint, cause } as ConstructorParameters<
          typeof MinivmmError
        >[1]);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What cannot be cloned (functions, open objects) is left out. */
function plain(details: Readonly<Record<string, unknown>> | undefined): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(details ?? {}).filter(([, value]) => {
      try {
        structuredClone(value);
        return true;
      } catch {
        return false;
      }
    }),
  );
}
