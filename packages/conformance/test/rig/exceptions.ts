// Recorded cases that a real kernel may answer differently when they are replayed, and why. All others must agree.

export interface Exception {
  readonly case: RegExp;
  /** Which kernels; default all. */
  readonly kernel?: string;
  readonly why: string;
}

export const EXCEPTIONS: readonly Exception[] = [];

export function exceptionFor(name: string, kernel: string): Exception | undefined {
  return EXCEPTIONS.find((each) => each.case.test(name) && (each.kernel ?? kernel) === kernel);
}
