// Forking this Node process.
// A forked child goes on with the same closure, descriptors and memory, and hands back one plain value: as JSON in memory
// that both share, so that no descriptor is spent on it.
// Invariants: only synchronous code runs in a child, and it ends with _exit: the event loop, exit handlers and buffered
// output belong to the parent. A child that is joined is reaped.

import { MAP_ANONYMOUS, MAP_NORESERVE, MAP_SHARED, PROT_READ, PROT_WRITE } from "../constants.ts";
import { ECHILD } from "../errno.ts";
import { MinivmmError } from "../error.ts";
import { inheritMemory } from "./inheritable.ts";
import { libc } from "./libc.ts";
import { processCalls } from "./process-calls.ts";

const RESULT_BYTES = 64 * 2 ** 20;
const HEAD_BYTES = 8;
const LAST_FD = 0xffff_ffff;
const WNOHANG = 1;
const SIGKILL = 9;
const POLL_MS = 2;
const PR_SET_CHILD_SUBREAPER = 36;

/** How a child ended: what it returned or threw, or the signal that killed it. */
export type Ended<T> = { readonly value: T } | { readonly threw: string } | { readonly signal: number };

export interface ForkOptions {
  /** The child closes descriptors from this number on. Node's own, which its engine may write to, must stay open. */
  readonly closeFrom?: number;
}

/** Forks; `run` goes on in the child. Throws MinivmmError FORK_UNSUPPORTED or FORK_FAILED. */
export function forkProcess<T>(run: () => T, { closeFrom }: ForkOptions = {}): ForkedProcess<T> {
  inheritMemory();
  const result = new SharedResult<T>();
  const calls = processCalls();
  const pid = calls.fork();
  if (pid < 0) {
    result.close();
    throw new MinivmmError("the process could not be forked", {
      code: "FORK_FAILED",
      errno: -pid,
      hint: "Look at the limits of processes and memory.",
    });
  }
  if (pid > 0) return new ForkedProcess(pid, result);
  try {
    if (closeFrom !== undefined) calls.closeRange(closeFrom, LAST_FD, 0);
    result.put(() => run());
  } finally {
    calls._exit(0);
  }
  throw new Error("unreachable: the child has ended");
}

export class ForkedProcess<T> {
  readonly pid: number;
  readonly #result: SharedResult<T>;
  #ended: Ended<T> | null = null;

  constructor(pid: number, result: SharedResult<T>) {
    this.pid = pid;
    this.#result = result;
  }

  /** Waits up to `ms` for its end; null when it has not ended by then. */
  join(ms: number): Ended<T> | null {
    const calls = processCalls();
    const status = new Int32Array(1);
    const until = performance.now() + ms;
    while (!this.#ended) {
      const ret = calls.waitpid(this.pid, new Uint8Array(status.buffer), WNOHANG);
      if (ret === this.pid) {
        const signal = (status[0] as number) & 0x7f;
        this.#ended = signal ? { signal } : this.#result.take();
        this.#result.close();
      } else if (ret < 0) {
        throw new MinivmmError(`process ${this.pid} cannot be waited for`, { code: "FORK_FAILED", errno: -ret });
      } else {
        const left = until - performance.now();
        if (left <= 0) return null;
        calls.sleep(Math.min(POLL_MS, Math.ceil(left)));
      }
    }
    return this.#ended;
  }

  kill(): void {
    if (!this.#ended) processCalls().kill(this.pid, SIGKILL);
  }
}

/** Memory that parent and child share: the length of a JSON text, then the text. */
class SharedResult<T> {
  readonly #address: bigint;
  readonly #bytes: Uint8Array;

  constructor() {
    const flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
    const { mmap, koffi } = libc();
    const at = mmap(0n, RESULT_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (at < 0) throw new MinivmmError("no memory for a child's result", { code: "FORK_FAILED", errno: -at });
    this.#address = BigInt(at);
    this.#bytes = new Uint8Array(koffi.view(this.#address, RESULT_BYTES));
  }

  put(run: () => T): void {
    let text: string;
    try {
      text = JSON.stringify({ value: run() });
    } catch (error) {
      text = JSON.stringify({ threw: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
    const encoded = new TextEncoder().encode(text);
    if (encoded.length > RESULT_BYTES - HEAD_BYTES) return;
    this.#bytes.set(encoded, HEAD_BYTES);
    new DataView(this.#bytes.buffer).setUint32(0, encoded.length, true);
  }

  take(): Ended<T> {
    const length = new DataView(this.#bytes.buffer).getUint32(0, true);
    if (length === 0) return { threw: "the child ended without a result" };
    return JSON.parse(new TextDecoder().decode(this.#bytes.slice(HEAD_BYTES, HEAD_BYTES + length))) as Ended<T>;
  }

  close(): void {
    libc().munmap(this.#address, RESULT_BYTES);
  }
}

/** Children of children that lost their parent become this process's own, so that it can wait for them. */
export function adoptOrphans(): void {
  processCalls().prctl(PR_SET_CHILD_SUBREAPER, 1, null);
}

/** Waits up to `ms` until no child is left; false when one is. */
export function reapAll(ms: number): boolean {
  const calls = processCalls();
  const until = performance.now() + ms;
  for (;;) {
    const ret = calls.waitpid(-1, null, WNOHANG);
    if (ret === -ECHILD) return true;
    if (ret > 0) continue;
    if (performance.now() >= until) return false;
    calls.sleep(POLL_MS);
  }
}
