// What a command may touch of its process: three streams and the environment. Tests hand in their own.
import type { Writable } from "node:stream";
import type { TerminalInput } from "./console/terminal.ts";
import { type Style, styleFor } from "./render/style.ts";

export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export interface CliIo {
  readonly stdin: TerminalInput;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function outStyle(io: CliIo): Style {
  return styleFor(io.stdout, io.env);
}

export function errStyle(io: CliIo): Style {
  return styleFor(io.stderr, io.env);
}
