// Giving up capabilities of this process. Source: linux/capability.h.
// Invariants: only the effective set of the calling thread changes; what is dropped stays permitted.

import { MinivmmError } from "../error.ts";
import { processCalls } from "./process-calls.ts";

const LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;
const CAPABILITIES: Readonly<Record<string, number>> = { IPC_LOCK: 14, SYS_RAWIO: 17, SYS_ADMIN: 21, SYS_RESOURCE: 24 };

/** Takes a capability, such as "IPC_LOCK", out of the effective set; 0 or -errno. Throws CAPABILITY_UNKNOWN. */
export function dropCapability(name: string): number {
  const bit = CAPABILITIES[name];
  if (bit === undefined) {
    throw new MinivmmError(`no capability is known as ${name}`, {
      code: "CAPABILITY_UNKNOWN",
      details: { name },
      hint: `Known are ${Object.keys(CAPABILITIES).join(", ")}.`,
    });
  }
  const { capget, capset } = processCalls();
  const header = new Uint8Array(new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]).buffer);
  // Effective, permitted, inheritable; low words, then high words.
  const sets = new Uint32Array(6);
  const bytes = new Uint8Array(sets.buffer);
  const read = capget(header, bytes);
  if (read < 0) return read;
  sets[0] = (sets[0] as number) & ~(1 << bit);
  return capset(header, bytes);
}
