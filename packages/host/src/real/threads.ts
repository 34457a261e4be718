// Threads of this process, and how one is got out of a blocking system call: a signal that is handled by a function
// without effect, and without SA_RESTART, so that the call comes back with EINTR.
// Sources: signal(7), "Interruption of system calls"; tgkill(2); struct sigaction of the C library on x86_64.
// Invariants: the handler is in place before the first signal is sent, and never taken away, since a signal may still be
// on its way. It belongs to the process: it serves all worker threads, whichever of them has put it there.

import { ENOSYS } from "../errno.ts";
import { MinivmmError } from "../error.ts";
import type { HostThreads } from "../host.ts";
import { binder, libc } from "./libc.ts";

/** SIGRTMIN + 6: neither the C library (32, 33) nor Node uses it. */
const SIGNAL = 40;
/** struct sigaction: the handler, 128 bytes of mask, flags, and the restorer, which the C library sets itself. */
const SIGACTION_BYTES = 152;
/** A function that does nothing to anybody: it computes on the signal's number. */
const HARMLESS = "abs";

interface ThreadCalls {
  gettid(): number;
  interrupt(id: number): number;
}

let loaded: ThreadCalls | null = null;

export const realThreads: HostThreads = {
  current: () => calls().gettid(),
  interrupt: (id) => calls().interrupt(id),
};

function calls(): ThreadCalls {
  loaded ??= bind();
  return loaded;
}

function bind(): ThreadCalls {
  const checked = binder(libc().koffi);
  const getpid = checked<[]>("getpid", "int", []);
  const tgkill = checked<[number, number, number]>("tgkill", "int", ["int", "int", "int"]);
  const sigaction = checked<[number, Uint8Array, null]>("sigaction", "int", ["int", "const void *", "void *"]);
  const dlsym = checked<[number, string]>("dlsym", "intptr_t", ["intptr_t", "const char *"]);
  const action = new BigUint64Array(SIGACTION_BYTES / 8);
  action[0] = BigInt(dlsym(0, HARMLESS));
  const result = action[0] === 0n ? -ENOSYS : sigaction(SIGNAL, new Uint8Array(action.buffer), null);
  if (result < 0) {
    throw new MinivmmError(`signal ${SIGNAL}, which gets threads out of system calls, cannot be handled`, {
      code: "THREAD_SIGNAL",
      errno: -result,
      details: { signal: SIGNAL },
      hint: "The program needs a C library with sigaction and dlsym.",
    });
  }
  return {
    gettid: checked("gettid", "int", []),
    interrupt: (id) => tgkill(getpid(), id, SIGNAL),
  };
}
