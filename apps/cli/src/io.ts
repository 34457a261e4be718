// What a command may touch of its process: three streams and the environment; and when it was started. Tests hand in their
// own.
import type { Writable } from "node:stream";
import type { TerminalInput } from "./console/terminal.ts";
import { type Style, styleFor } from "./render/style.ts";

export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** How the process came to run the command, in milliseconds: since 1970, and since that moment. */
export interface ProcessStart {
  readonly origin: number;
  readonly nodeUp: number;
}

export interface CliIo {
  readonly stdin: TerminalInput;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a VM's timeline begins; absent for a program that does other things too. */
  readonly started?: ProcessStart;
}

export function outStyle(io: CliIo): Style {
  return styleFor(io.stdout, io.env);
}

export function errStyle(io: CliIo): Style {
  return styleFor(io.stderr, io.env);
}
