// Errors of descriptions and of the composition: what is wrong, where in the description, what to do.
import { MinivmmError } from "@minivmm/host/error";

/** Codes: MODEL_UNKNOWN, MODEL_OPTION, MODEL_DESCRIPTION, MODEL_DISK, MODEL_FAULT. */
export class ModelHostError extends MinivmmError {}
