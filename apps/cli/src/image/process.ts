// Runs a tool and gathers what it says. Tools are awaited one at a time and ended when the work is given up.
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { CliError, reasonOf } from "../errors.ts";

export interface ToolOptions {
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Lines that the tool writes to descriptor 3, for tools that report progress there. */
  readonly onStatus?: (line: string) => void;
}

export interface ToolResult {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Resolves with the exit status, whatever it is. Throws CliError NO_TOOL or INTERRUPTED. */
export function runTool(name: string, args: readonly string[], options: ToolOptions): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, {
      cwd: options.cwd,
      // Messages are read by this program: they have to be in one language.
      env: { ...options.env, LC_ALL: "C" },
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      signal: options.signal,
    });
    const gather = (stream: Readable | null | undefined): Buffer[] => {
      const chunks: Buffer[] = [];
      stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
      return chunks;
    };
    const stdout = gather(child.stdout);
    const stderr = gather(child.stderr);
    if (options.onStatus !== undefined) eachLine(child.stdio[3] as Readable, options.onStatus);
    else (child.stdio[3] as Readable | undefined)?.resume();
    child.on("error", (cause) => reject(toolError(name, cause, options.signal)));
    child.on("close", (status) =>
      resolve({ status: status ?? 1, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() }),
    );
  });
}

function toolError(name: string, cause: Error, signal: AbortSignal): CliError {
  if (signal.aborted) return new CliError(`${name} was interrupted`, { code: "INTERRUPTED" });
  return new CliError(`cannot start ${name}: ${reasonOf(cause)}`, {
    code: "NO_TOOL",
    details: { tool: name },
    hint: "fetching a kernel needs a Debian-like system with apt, dpkg and xz",
    cause,
  });
}

function eachLine(stream: Readable, take: (line: string) => void): void {
  let rest = "";
  stream.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  });
}
