// The real machine: the kernel below this process, /dev/vfio and /dev/kvm, through @minivmm/host's real host.
// The machine is set back to its start, then a forked process plays the case, hands back its result and ends: descriptors, mappings, limits and dropped capabilities end with it.
// Invariants: a case is played only on a machine that was booted as the recorded one; nothing is played in the process
// that asks.

import { type Host, realHost } from "@minivmm/host";
import { adoptOrphans, closeRanks, forkProcess, processCalls, reapAll } from "@minivmm/host/real";
import { ConformanceError } from "../error.ts";
import type { Actor, Machine, RecordedMachine, Stage } from "../machine.ts";
import { RealActor } from "./real-actor.ts";
import { textOf, unfit } from "./real-fit.ts";
import { moduleParameters, setBack } from "./real-start.ts";

export interface RealMachineOptions {
  /** How long a case may take, milliseconds. Default 120 s. */
  readonly caseLimit?: number;
}

/** How long processes that a case left behind may take to end. */
const ORPHAN_MS = 10_000;
const NOFILE = { soft: 1024, hard: 4096 };

/**
 * The kernel below. Node must run with --single-threaded, as root, on the machine that devices are taken from.
 * Throws MinivmmError HOST_UNSUPPORTED or KOFFI_UNAVAILABLE.
 */
export function realMachine(options: RealMachineOptions = {}): Machine {
  return new RealMachine(options);
}

/** What entering gives: the stage, the reason against it, or an error since nobody isolated the case. */
type Entry = "here" | { readonly skip: string } | null;

class RealMachine implements Machine {
  readonly name: string;
  readonly #limit: number;
  /** Of VFIO's modules, as they were before the first case. */
  #parameters: ReadonlyMap<string, string> | null = null;
  readonly #host: Host;
  #entry: Entry = null;

  constructor({ caseLimit = 120_000 }: RealMachineOptions) {
    this.#host = realHost();
    this.name = `this machine, Linux ${textOf(this.#host, "/proc/sys/kernel/osrelease")}`;
    this.#limit = caseLimit;
  }

  isolated<T>(recorded: RecordedMachine, run: () => T): T {
    const skip = unfit(this.#host, recorded);
    if (skip !== null) return this.#entering({ skip }, run);
    this.#parameters ??= moduleParameters(this.#host);
    setBack(this.#host, recorded, this.#parameters);
    adoptOrphans();
    const child = forkProcess(() => this.#entering("here", run));
    const ended = child.join(this.#limit);
    if (!ended) child.kill();
    const end = ended ?? child.join(ORPHAN_MS);
    const clean = reapAll(ORPHAN_MS);
    if (ended && "value" in ended && clean) return ended.value;
    const what = !ended
      ? `it took longer than ${this.#limit} ms${end ? "" : " and cannot be killed"}`
      : "signal" in ended
        ? `its process was killed by signal ${ended.signal}`
        : "threw" in ended
          ? ended.threw
          : "a process that it began does not end";
    throw new ConformanceError(`the case did not end as it should: ${what}`, {
      code: "CASE_CRASHED",
      details: { limit: this.#limit },
      hint: "Look at the kernel's log of this machine.",
    });
  }

  enter(): Stage | { readonly skip: string } {
    if (this.#entry === null) {
      throw new ConformanceError("a case is played in a process of its own here", {
        code: "MACHINE_UNSUITABLE",
        hint: "Play it inside machine.isolated().",
      });
    }
    if (this.#entry !== "here") return this.#entry;
    const actor = new RealActor(realHost(), closeRanks());
    actor.host.setrlimit("nofile", NOFILE);
    return new RealStage(actor);
  }

  #entering<T>(entry: Entry, run: () => T): T {
    this.#entry = entry;
    try {
      return run();
    } finally {
      this.#entry = null;
    }
  }
}

/** What it opened and mapped ends with the process. */
class RealStage implements Stage {
  readonly actor: Actor;

  constructor(actor: Actor) {
    this.actor = actor;
  }

  wait(ms: number): void {
    processCalls().sleep(ms);
  }

  close(): void {}

  [Symbol.dispose](): void {}
}
