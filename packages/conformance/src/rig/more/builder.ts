// Writes cases: steps by name, and numbers that look random but are the same each time.
// Invariants: the same seed gives the same case, so that two kernels and two days are asked the same.

import type { Json } from "../../lines.ts";
import type { RecordedMachine } from "../../machine.ts";
import type { X86Case } from "../../x86/format.ts";

/** A case whose outcomes are not known yet. */
export function caseOf(machine: RecordedMachine, name: string, why: string, steps: readonly Json[], caution?: string) {
  const numbered = steps.map((step, index) => ({ step: String(index), do: step, ret: 0, children: [] }));
  return { format: "x86", name, why, caution, machine, steps: numbered } satisfies X86Case;
}

/** Opens a container C of `type` with the group G of a device, and the device D. */
export function opened(device: string, type = 3): Json[] {
  return [...container(device, type), ioctl("G", "VFIO_GROUP_GET_DEVICE_FD", { str: `@bdf:${device}`, as: "D" })];
}

export function container(device: string, type = 3): Json[] {
  return [
    { op: "open", path: "/dev/vfio/vfio", as: "C" },
    { op: "open", path: `@group:${device}`, as: "G" },
    ioctl("G", "VFIO_GROUP_SET_CONTAINER", { fdp: "C" }),
    ioctl("C", "VFIO_SET_IOMMU", { val: type }),
  ];
}

export function ioctl(fd: string, cmd: string, argument: Json): Json {
  return { op: "ioctl", fd, cmd, ...argument };
}

/** Numbers from a seed: a linear congruential generator, whose high half is used. */
export class Numbers {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761 + 12_345) >>> 0;
  }

  /** Below `end`. */
  below(end: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * end);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}
