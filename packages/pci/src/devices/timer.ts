// Time as a device model needs it: run something later. A machine hands in its own clock; alone, a model uses unref'd
// timers so that a forgotten device does not keep the process alive.
export type After = (milliseconds: number, run: () => void) => { cancel(): void };

export const realAfter: After = (milliseconds, run) => {
  const timer = setTimeout(run, milliseconds);
  timer.unref();
  return { cancel: () => clearTimeout(timer) };
};
