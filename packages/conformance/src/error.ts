// Errors of this package: files that are no recordings, and machines that cannot play them.
import { MinivmmError } from "@minivmm/host";

/** Codes: RECORDING_UNREADABLE, RECORDING_FORMAT, MACHINE_UNSUITABLE, CASE_CRASHED. */
export class ConformanceError extends MinivmmError {}
