// Command lines of `minivmm run` as typed requests, without running anything.
import { expect } from "vitest";
import { exitStatusOf } from "../src/errors.ts";
import { parseArgv } from "../src/options/argv.ts";
import { type Given, givenFrom } from "../src/options/given.ts";
import { parseRun, type RunRequest } from "../src/options/run-options.ts";
import { RUN_OPTIONS } from "../src/options/table.ts";

export function given(argv: readonly string[]): Given {
  return givenFrom(parseArgv(argv, RUN_OPTIONS).options);
}

export const request = (...argv: string[]): RunRequest => parseRun(given(["-kernel", "vmlinux", ...argv]));

/** The command line is a mistake: one line says which, another what to write instead. */
export function expectRefusal(argv: readonly string[], message: RegExp, hint: RegExp): void {
  let error: unknown;
  try {
    request(...argv);
  } catch (caught) {
    error = caught;
  }
  expect(error).toMatchObject({ message: expect.stringMatching(message), hint: expect.stringMatching(hint) });
  expect(exitStatusOf(error)).toBe(2);
}
