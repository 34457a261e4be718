// What one vCPU did: exits under the kernel's names, and hypercalls by number and by the stage that answered them (real
// mode, virtual mode, user space).
// Counting costs an addition; names are made when somebody reads.

import { MAX_HCALL_OPCODE } from "../hypercalls.ts";

export type Stage = "virtual" | "user";

/** Calls with odd or large numbers share the last place. */
const PLACES = MAX_HCALL_OPCODE / 4 + 2;
const NONE: ReadonlyMap<number, number> = new Map();

export class VcpuCounters {
  sumExits = 0;
  mmioExits = 0;
  signalExits = 0;
  haltWaits = 0;
  /** Calls that compiled code answered, by number: it counts for itself. */
  realMode: () => ReadonlyMap<number, number> = () => NONE;
  readonly hypercalls: Readonly<Record<Stage, Float64Array>> = {
    virtual: new Float64Array(PLACES),
    user: new Float64Array(PLACES),
  };

  /** A hypercall whose number stands in r3. */
  count(stage: Stage, gpr: Uint32Array): void {
    this.countNumber(stage, gpr[7] === 0 ? (gpr[6] as number) : -1);
  }

  countNumber(stage: Stage, nr: number): void {
    const known = nr >= 0 && nr <= MAX_HCALL_OPCODE && (nr & 3) === 0;
    const place = known ? nr >>> 2 : PLACES - 1;
    const counts = this.hypercalls[stage];
    counts[place] = (counts[place] as number) + 1;
  }

  /** By statistics name; a hypercall has one once it was made: "hcall_virtual_0x20". */
  values(): Record<string, number> {
    const values: Record<string, number> = {
      sum_exits: this.sumExits,
      mmio_exits: this.mmioExits,
      signal_exits: this.signalExits,
      halt_successful_wait: this.haltWaits,
    };
    for (const [nr, count] of this.realMode()) if (count > 0) values[`hcall_real_0x${nr.toString(16)}`] = count;
    for (const [stage, counts] of Object.entries(this.hypercalls)) {
      counts.forEach((count, place) => {
        const name = place === PLACES - 1 ? "other" : `0x${(place * 4).toString(16)}`;
        if (count > 0) values[`hcall_${stage}_${name}`] = count;
      });
    }
    return values;
  }
}
