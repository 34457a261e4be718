// A real process as a recorded case sees it.
// A touch is made in a forked child first, which may die of it; where it lives and the memory is ordinary, it is made once
// more here, so that what the processor leaves (a page, a value) is this process's. Registers are touched once.
// The lowest descriptors are Node's own, which stay open, since its engine writes to them; a limit on descriptors is one
// on those of the case and the three that every process begins with.
// Where nothing is mapped there is nothing to try: that is what SIGSEGV means.
// Invariants: a child that does not end in time is killed and is an error of the case.

import type { Host, Rlimit } from "@minivmm/host";
import * as real from "@minivmm/host/real";
import { ConformanceError } from "../error.ts";
import type { Actor, Job, Touch, Touched } from "../machine.ts";

const SIGSEGV = 11;
const MADV_NOHUGEPAGE = 15;
const CHILD_MS = 60_000;
const STANDARD_FDS = 3;

export class RealActor implements Actor {
  readonly host: Host;
  readonly #firstFd: number;

  /** `firstFd`: the first descriptor of the case. */
  constructor(host: Host, firstFd: number) {
    this.host = withOwnDescriptors(host, firstFd - STANDARD_FDS);
    this.#firstFd = firstFd;
  }

  pipe(): number {
    return real.pipe();
  }

  memfd(size: number): number {
    return real.memfd(size);
  }

  drop(capability: string): number {
    return real.dropCapability(capability);
  }

  munmap(address: bigint, length: number): number {
    return real.processCalls().munmap(address, length);
  }

  mprotect(address: bigint, length: number, prot: number): number {
    return real.processCalls().mprotect(address, length, prot);
  }

  smallPages(address: bigint, length: number): void {
    real.processCalls().madvise(address, length, MADV_NOHUGEPAGE);
  }

  touch({ address, width, store }: Touch): Touched {
    const kind = real.memoryKind(address);
    if (kind === null) return { signal: SIGSEGV };
    // Bigints travel as text.
    const ended = real.forkProcess(() => real.access(address, width, store).toString()).join(CHILD_MS);
    if (ended && "signal" in ended) return { signal: ended.signal };
    const value = BigInt(resultOf(ended, "a touch of memory"));
    return { value: kind === "private" || kind === "shared" ? real.access(address, width, store) : value };
  }

  readMemory(address: bigint, into: Uint8Array): number {
    return real.readMemory(address, into);
  }

  writeMemory(address: bigint, from: Uint8Array): number {
    return real.writeMemory(address, from);
  }

  preadFault(fd: number, size: number, offset: number): number {
    return real.preadFault(fd, size, offset);
  }

  pwriteFault(fd: number, size: number, offset: number): number {
    return real.pwriteFault(fd, size, offset);
  }

  child<T>(run: (child: Actor) => T): T {
    const child = real.forkProcess(() => run(this));
    const ended = child.join(CHILD_MS);
    if (!ended) child.kill();
    return resultOf(ended, "a child");
  }

  background<T>(run: (other: Actor) => T): Job<T> {
    const other = real.forkProcess(() => run(this), { closeFrom: this.#firstFd });
    return {
      join(ms) {
        const ended = other.join(ms);
        return ended && resultOf(ended, "the process in the background");
      },
    };
  }
}

/** A host whose limit of descriptors leaves `own` more out of account. */
function withOwnDescriptors(host: Host, own: number): Host {
  const moved = (which: string, { soft, hard }: Rlimit, by: number): Rlimit =>
    which === "nofile" ? { soft: soft + by, hard: hard + by } : { soft, hard };
  const getrlimit = host.getrlimit.bind(host);
  const setrlimit = host.setrlimit.bind(host);
  host.getrlimit = (which) => moved(which, getrlimit(which), -own);
  host.setrlimit = (which, limit) => setrlimit(which, moved(which, limit, own));
  return host;
}

function resultOf<T>(ended: real.Ended<T> | null, what: string): T {
  if (ended && "value" in ended) return ended.value;
  const how = !ended
    ? `did not end within ${CHILD_MS} ms`
    : "signal" in ended
      ? `was killed by signal ${ended.signal}`
      : `failed: ${ended.threw}`;
  throw new ConformanceError(`${what} ${how}`, {
    code: "CASE_CRASHED",
    hint: "Look at the kernel's log of this machine.",
  });
}
