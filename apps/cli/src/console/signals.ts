// SIGINT, SIGTERM and SIGHUP end a run the same way as a key would: the first one asks, and the exit status says which
// signal it was (128 + its number, as shells do). A second one ends the process at once. SIGUSR1 asks for the attributes of
// the guest's pages; while nobody watches it, it is Node's, which starts its debugger.
import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const SIGNAL_ATTRIBUTES = "SIGUSR1";

export interface SignalWatch {
  /** The signal that came, if any. */
  readonly received: NodeJS.Signals | undefined;
  /** Exit status for it, or undefined. */
  readonly status: number | undefined;
  close(): void;
}

/** Calls `onSignal` once, at the first signal that ends the run, and `onAttributes` at each SIGUSR1. */
export function watchSignals(onSignal: () => void, onAttributes?: () => void): SignalWatch {
  let received: NodeJS.Signals | undefined;
  const statusOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];
  const handler = (signal: NodeJS.Signals): void => {
    if (received !== undefined) process.exit(statusOf(signal));
    received = signal;
    onSignal();
  };
  for (const signal of SIGNALS) process.on(signal, handler);
  if (onAttributes !== undefined) process.on(SIGNAL_ATTRIBUTES, onAttributes);
  return {
    get received() {
      return received;
    },
    get status() {
      return received === undefined ? undefined : statusOf(received);
    },
    close() {
      for (const signal of SIGNALS) process.off(signal, handler);
      if (onAttributes !== undefined) process.off(SIGNAL_ATTRIBUTES, onAttributes);
    },
  };
}
