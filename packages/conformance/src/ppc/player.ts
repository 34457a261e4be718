// Plays a case of the POWER form on a stage and compares results, errnos, the fields that the arguments determine, and
// the memory that the kernel charges to the process after every call.
// Invariants: consecutive steps of the second process run in one forked child; a case with a call that is not known here
// is skipped as a whole, and says which.

import { errnoName, lockedBytes } from "@minivmm/host";
import { normalText } from "../compare.ts";
import { type Actor, type Machine, ROOT_CAPABILITIES } from "../machine.ts";
import type { CaseResult, Difference } from "../result.ts";
import { DMA_CALLS } from "./dma-calls.ts";
import { FILE_CALLS } from "./file-calls.ts";
import type { PpcCase, PpcStep } from "./format.ts";
import { GUEST_CALLS } from "./guest-calls.ts";
import { KVM_CALLS } from "./kvm-calls.ts";
import { type Answer, type Call, PpcScene } from "./scene.ts";
import { VFIO_CALLS } from "./vfio-calls.ts";

const CALLS: Readonly<Record<string, Call>> = {
  ...FILE_CALLS,
  ...VFIO_CALLS,
  ...DMA_CALLS,
  ...KVM_CALLS,
  ...GUEST_CALLS,
  "#end": () => ({ ret: 0 }),
};

const SHORT = 160;

interface Played {
  readonly step: PpcStep;
  /** Or why there is none. */
  readonly answer: Answer | string;
  /** What VmLck says after the call, in KiB. */
  readonly locked: number;
}

export function playPpc(recorded: PpcCase, machine: Machine): CaseResult {
  const { name, steps } = recorded;
  const unknown = steps.find(({ call }) => !Object.hasOwn(CALLS, call));
  if (unknown) return { name, steps: 0, differences: [], skipped: `${unknown.call} cannot be replayed` };
  const stage = machine.enter(recorded.machine, { capabilities: ROOT_CAPABILITIES });
  if ("skip" in stage) return { name, steps: 0, differences: [], skipped: stage.skip };
  try {
    const played = all(new PpcScene(stage, recorded), steps);
    return { name, steps: played.length, differences: played.flatMap((each) => differencesOf(name, each)) };
  } finally {
    stage.close();
  }
}

function all(scene: PpcScene, steps: readonly PpcStep[]): Played[] {
  const played: Played[] = [];
  for (let at = 0; at < steps.length; ) {
    const end = endOfRun(steps, at);
    const run = (inside: PpcScene): Played[] =>
      steps.slice(at, end).map((step, index) => play(inside, step, steps[at + index + 1]));
    played.push(...(steps[at]?.child ? scene.actor.child((child) => run(scene.of(child))) : run(scene)));
    at = end;
  }
  return played;
}

/** Where the steps of one process that begin at `at` end. */
function endOfRun(steps: readonly PpcStep[], at: number): number {
  const other = steps.slice(at).findIndex(({ child }) => child !== steps[at]?.child);
  return other < 0 ? steps.length : at + other;
}

function play(scene: PpcScene, step: PpcStep, next: PpcStep | undefined): Played {
  return { step, answer: attempted(scene, step, next), locked: lockedKib(scene.actor) };
}

/** What goes wrong while a step is played is told as its outcome. */
function attempted(scene: PpcScene, step: PpcStep, next: PpcStep | undefined): Answer | string {
  try {
    return (CALLS[step.call] as Call)(scene, step, next);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function differencesOf(name: string, { step, answer, locked }: Played): Difference[] {
  const call = `${step.call} ${JSON.stringify(step.args)}`.slice(0, SHORT);
  const expected = step.ret < 0 ? -step.errno : step.ret;
  const found: Found[] = typeof answer === "string" ? [] : fieldsOf(step, answer, expected);
  if (typeof answer === "string") found.push(["ret", resultText(expected), `not played: ${answer}`]);
  const charged = step.out.vmlck_kb;
  if (charged !== undefined && Number(charged) !== locked) found.push(["vmlck_kb", String(charged), String(locked)]);
  return found.map(([field, a, b]) => ({
    case: name,
    step: step.child ? `child ${step.step}` : String(step.step),
    call,
    field,
    expected: a,
    got: b,
  }));
}

type Found = [field: string, expected: string, got: string];

function fieldsOf(step: PpcStep, answer: Answer, expected: number): Found[] {
  const found: Found[] = [];
  const same = answer.isFd && expected >= 0 ? answer.ret >= 0 : answer.ret === expected;
  if (!same) found.push(["ret", resultText(expected), resultText(answer.ret)]);
  for (const [field, value] of Object.entries(answer.out ?? {})) {
    if (field in step.out && normalText(step.out[field]) !== normalText(value)) {
      found.push([field, normalText(step.out[field]), normalText(value)]);
    }
  }
  return found;
}

const resultText = (ret: number): string => (ret < 0 ? errnoName(-ret) : String(ret));

function lockedKib({ host }: Actor): number {
  return (lockedBytes(host.readFile("/proc/self/status")) ?? Number.NaN) / 1024;
}
