// Plays a case of the x86 form on a stage: each step is done, and its outcome compared with the recorded one.
// Invariants: a step that differs does not end the case, so that all differences show; steps of a child run in a child.

import { errnoName } from "@minivmm/host";
import { differingFields } from "../compare.ts";
import type { Json } from "../lines.ts";
import { type Job, type Machine, ROOT_CAPABILITIES } from "../machine.ts";
import type { CaseResult, Difference } from "../result.ts";
import { FILE_STEPS } from "./file-steps.ts";
import type { X86Case, X86Step } from "./format.ts";
import { ioctlStep } from "./ioctl.ts";
import { MEMORY_STEPS } from "./memory-steps.ts";
import { type Outcome, Scene } from "./scene.ts";
import { SYSTEM_STEPS } from "./system-steps.ts";

const STEPS: Readonly<Record<string, (scene: Scene, step: Json) => Outcome>> = {
  ...FILE_STEPS,
  ...MEMORY_STEPS,
  ...SYSTEM_STEPS,
  ioctl: ioctlStep,
};

const SHORT = 160;

/** A step and what came of it; plain data, so that it can come from another process. */
export interface Played {
  readonly step: X86Step;
  readonly outcome: PlainOutcome | { readonly failed: string };
}

interface PlainOutcome {
  readonly ret: number;
  readonly signal?: number | undefined;
  readonly out?: Json | undefined;
}

export function playX86(recorded: X86Case, machine: Machine): CaseResult {
  const played = stepX86(recorded, machine);
  if ("skip" in played) return { name: recorded.name, steps: 0, differences: [], skipped: played.skip };
  return {
    name: recorded.name,
    steps: played.length,
    differences: played.flatMap((each) => differencesOf(recorded.name, each)),
  };
}

/** What comes of a case's steps, whatever was recorded of them. */
export function stepX86({ machine: recorded, steps }: X86Case, machine: Machine): Played[] | { readonly skip: string } {
  const stage = machine.enter(recorded, { capabilities: ROOT_CAPABILITIES });
  if ("skip" in stage) return stage;
  try {
    return new Run(new Scene(stage, recorded)).all(steps);
  } finally {
    stage.close();
  }
}

class Run {
  readonly #scene: Scene;
  #job: Job<Played[]> | null = null;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  all(steps: readonly X86Step[]): Played[] {
    return steps.flatMap((step) => this.#step(step));
  }

  #step(step: X86Step): Played[] {
    switch (step.do.op) {
      case "child": {
        const inside = this.#scene.actor.child((child) => new Run(this.#scene.of(child)).all(step.children));
        return [done(step, { ret: 0 }), ...inside];
      }
      case "background":
        this.#job = this.#scene.actor.background((other) => new Run(this.#scene.of(other)).all(step.children));
        return [done(step, { ret: 0 })];
      case "join": {
        const inside = this.#job?.join(Number(step.do.ms)) ?? null;
        return [done(step, { ret: inside ? 0 : -1 }), ...(inside ?? [])];
      }
      default:
        return [attempted(this.#scene, step)];
    }
  }
}

function attempted(scene: Scene, step: X86Step): Played {
  const play = STEPS[String(step.do.op)];
  if (!play) return { step, outcome: { failed: `no step is called "${step.do.op}"` } };
  try {
    return done(step, play(scene, step.do));
  } catch (error) {
    return { step, outcome: { failed: error instanceof Error ? error.message : String(error) } };
  }
}

/** Bigints become text, so that an outcome survives its way out of a child as JSON. */
function done(step: X86Step, { ret, signal, out }: Outcome): Played {
  const plain = out && JSON.parse(JSON.stringify(out, (_, v) => (typeof v === "bigint" ? `0x${v.toString(16)}` : v)));
  return { step, outcome: { ret, ...(signal ? { signal } : {}), ...(plain ? { out: plain } : {}) } };
}

function differencesOf(name: string, { step, outcome }: Played): Difference[] {
  const at = { case: name, step: step.step, call: JSON.stringify(step.do).slice(0, SHORT) };
  const expected = resultText(step.ret, step.errno, step.signal);
  if ("failed" in outcome) return [{ ...at, field: "ret", expected, got: `not played: ${outcome.failed}` }];
  const got = outcome.signal
    ? resultText(-1, undefined, outcome.signal)
    : resultText(step.ret === "fd" && outcome.ret >= 0 ? "fd" : outcome.ret, -outcome.ret);
  if (expected !== got) return [{ ...at, field: "ret", expected, got }];
  return differingFields(comparable(step.out), comparable(outcome.out)).map(([field, a, b]) => ({
    ...at,
    field,
    expected: a,
    got: b,
  }));
}

function resultText(ret: number | "fd", errno?: number, signal?: number): string {
  if (signal) return `signal ${signal}`;
  if (ret === "fd") return "a descriptor";
  return ret < 0 ? errnoName(errno ?? 0) : String(ret);
}

/** Recordings name the functions of a hot reset for their readers. */
function comparable(out: Json | undefined): Json {
  if (!out || !Array.isArray(out.devices)) return out ?? {};
  return { ...out, devices: out.devices.map(({ name: _, ...device }: Json) => device) };
}
