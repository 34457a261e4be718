// The package's one error class. It is thrown for mistakes of the program that describes or builds a topology;
// what a guest or a device driver writes into registers never throws.
import { MinivmmError } from "@minivmm/host/error";

export type PciErrorCode =
  | "BDF_SYNTAX"
  | "BDF_RANGE"
  | "BDF_DUPLICATE"
  | "NO_SUCH_FUNCTION"
  | "CAPABILITY_SPACE"
  | "BAR_INVALID"
  | "DESCRIPTION"
  | "NO_ADDRESS_SPACE"
  | "DISK";

/** A topology, device or address that cannot be built; `code` is one of {@link PciErrorCode}. */
export class PciError extends MinivmmError {
  constructor(
    message: string,
    options: {
      code: PciErrorCode;
      errno?: number | undefined;
      details?: Record<string, unknown>;
      hint?: string;
      cause?: unknown;
    },
  ) {
    super(message, options);
  }
}

/** A topology description that contradicts itself or the hardware it describes. */
export function descriptionError(message: string, hint: string): PciError {
  return new PciError(message, { code: "DESCRIPTION", hint });
}
