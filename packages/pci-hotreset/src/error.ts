/** The error of this package. Codes: NO_HOT_RESET, NOT_OWNED, BLOCKED, CHANGED, REFUSED. */
import { MinivmmError } from "@minivmm/host";

export class HotResetError extends MinivmmError {}
