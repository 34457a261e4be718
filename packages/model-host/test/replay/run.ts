// Replays one recorded case on the modelled host and tells every difference: result, errno, output fields and the
// locked memory of the process after each step.
import { type Answer, HANDLERS } from "./calls.ts";
import { ioctlOf } from "./ioctls.ts";
import { KVM_HANDLERS } from "./kvm-calls.ts";
import { big, type Recording, type Step } from "./recording.ts";
import { Rig } from "./rig.ts";

export interface Outcome {
  /** Steps compared, and those left out because nothing here can do them. */
  readonly compared: number;
  readonly skipped: number;
  readonly differences: readonly string[];
}

export function replay(recording: Recording, name: string): Outcome {
  const steps = recording.cases.get(name) ?? [];
  const rig = new Rig(recording, steps);
  const differences: string[] = [];
  let compared = 0;
  try {
    for (const [index, step] of steps.entries()) {
      const answer = perform(rig, step, steps[index + 1]);
      if (answer === null) break;
      compared++;
      differences.push(
        ...compare(rig, step, answer).map((text) => `${step.case} step ${step.step} ${step.call}: ${text}`),
      );
    }
  } finally {
    rig.host.close();
  }
  return { compared, skipped: steps.length - compared, differences };
}

/** Null: a step that nothing here can do. */
function perform(rig: Rig, step: Step, next: Step | undefined): Answer | null {
  const handler = HANDLERS[step.call] ?? KVM_HANDLERS[step.call];
  if (handler) return handler(rig, step, next);
  const ioctl = ioctlOf(step);
  if (!ioctl) return null;
  const bytes = step.args.ptr === "NULL" ? undefined : ioctl.bytes;
  const process = rig.process(step);
  const ret = process.ioctl(rig.fd(step, step.args.fd), ioctl.request, bytes ?? ioctl.value ?? 0);
  if (step.call === "VFIO_IOMMU_MAP_DMA" && ret === 0) {
    rig.mappings.push({ iova: big(step.args.iova), size: big(step.args.size), vaddr: big(step.args.vaddr) });
  }
  return { ret, ...(bytes && ioctl.decode ? { out: ioctl.decode(bytes) } : {}) };
}

function compare(rig: Rig, step: Step, answer: Answer): string[] {
  const texts: string[] = [];
  const expected = step.ret < 0 ? -step.errno : step.ret;
  const same = answer.isFd && expected >= 0 ? answer.ret >= 0 : answer.ret === expected;
  if (!same) texts.push(`returned ${answer.ret}, recorded ${expected}`);
  for (const [field, value] of Object.entries(answer.out ?? {})) {
    const recorded = field === "exits" ? exitsOf(step) : step.out[field];
    if (recorded !== undefined && String(recorded) !== String(value))
      texts.push(`${field} is ${value}, recorded ${recorded}`);
  }
  const locked = (rig.process(step).mm.lockedPages * rig.pageSize) / 1024;
  const vmlck = step.out.vmlck_kb;
  if (vmlck !== undefined && Number(vmlck) !== locked) texts.push(`${locked} KiB locked, recorded ${vmlck}`);
  return texts;
}

/** How often the guest's call came to user space. */
function exitsOf(step: Step): number {
  const exits: unknown = step.out.userspace_exits;
  return Array.isArray(exits) ? exits.length : 0;
}
