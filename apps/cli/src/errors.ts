// The command's own error class, and the one place where any error becomes text for a person:
//   minivmm: what: on what: why
//     1. why that happened (each cause, numbered)
//   hint: what to do about it, and which command or option does it (remedies.ts)
// Codes that start with USAGE_ are mistakes in what was asked for (exit status 2); everything else is a failure (1).
// Invariant: one line each, whatever bytes a file name or a message holds; no stack trace without --debug.
import { getSystemErrorMap } from "node:util";
import { MinivmmError, type MinivmmErrorOptions } from "@minivmm/host/error";
import { ownRemedy } from "./remedies.ts";

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
/** What a shell says of a command that Ctrl-C ended. */
const EXIT_INTERRUPTED = 130;

export class CliError extends MinivmmError {
  constructor(message: string, options: MinivmmErrorOptions) {
    super(message, options);
    this.name = "CliError";
  }
}

/** A mistake on the command line. */
export function usageError(message: string, hint?: string, details?: Record<string, unknown>): CliError {
  return new CliError(message, { code: "USAGE_OPTION", hint, details });
}

/** 2 for what the user can ask differently, 130 for an interruption, else 1. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof CliError && error.code === "INTERRUPTED") return EXIT_INTERRUPTED;
  return error instanceof MinivmmError && error.code.startsWith("USAGE_") ? EXIT_USAGE : EXIT_FAILURE;
}

/** "no such file or directory" for an error of Node's file system calls; its message for any other. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Other libraries count their own errors in the same property: only system calls have a name.
  const { errno, syscall } = error as NodeJS.ErrnoException;
  return (
    (errno === undefined || syscall === undefined ? undefined : getSystemErrorMap().get(errno)?.[1]) ?? error.message
  );
}

/** Text from anywhere, made harmless for a terminal: no line ends and no control characters. */
export const oneLine = (text: string): string =>
  [...text.trim()]
    .map((character) => {
      const code = character.codePointAt(0) as number;
      if (character === "\n" || character === "\t") return " ";
      return code < 0x20 || (code >= 0x7f && code < 0xa0) ? `\\x${code.toString(16).padStart(2, "0")}` : character;
    })
    .join("");

/** What happened, in words: a system error without Node's "ENOENT: ..., open" dressing. */
function sentence(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  const { syscall, path, errno } = error as NodeJS.ErrnoException;
  if (error instanceof MinivmmError || syscall === undefined || errno === undefined) return oneLine(error.message);
  return oneLine([`cannot ${syscall}`, ...(path === undefined ? [] : [path]), reasonOf(error)].join(": "));
}

function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let cause = (error as Error)?.cause; cause !== undefined && chain.length < 10; cause = (cause as Error)?.cause) {
    if (chain.includes(cause)) break;
    chain.push(cause);
  }
  return chain;
}

export interface RenderErrorOptions {
  /** Adds the stack of every error in the chain. Default false. */
  readonly debug?: boolean;
}

/** The text for standard error, with a final newline. */
export function renderError(error: unknown, { debug = false }: RenderErrorOptions = {}): string {
  const expected = error instanceof MinivmmError || (error as NodeJS.ErrnoException)?.syscall !== undefined;
  const message = sentence(error);
  const lines = [`minivmm: ${expected ? "" : "internal error: "}${message}`];
  let said = message;
  let number = 0;
  for (const cause of causesOf(error)) {
    const text = sentence(cause);
    // A cause that the line above has quoted already says nothing new.
    if (said.includes(text) || said.includes(reasonOf(cause))) continue;
    lines.push(`  ${++number}. ${text}`);
    said = text;
  }
  const hint = error instanceof MinivmmError ? error.hint : undefined;
  const own = ownRemedy(error);
  if (hint !== undefined) lines.push(`hint: ${oneLine(hint)}`);
  if (own !== null) lines.push(`hint: ${oneLine(own)}`);
  if (hint === undefined && own === null && !expected)
    lines.push("hint: this is a defect of minivmm; --debug shows where");
  if (debug) {
    for (const each of [error, ...causesOf(error)]) {
      if (each instanceof Error && each.stack !== undefined) lines.push(each.stack);
    }
  }
  return `${lines.join("\n")}\n`;
}
