// Answers the letters of the CPUs whose threads do not have the machine.
// Invariant: every letter is answered, also one that ends the run.
import type { RunEnd } from "../accelerator.ts";
import type { ExitTarget } from "./exits.ts";
import { runEnd } from "./run-end.ts";
import { CPU_ENDED, type Letter, PORT_ACCESS, type SharedState } from "./shared-state.ts";

export class Letters {
  private readonly shared: SharedState;
  private readonly target: ExitTarget;
  private readonly letter: Letter = { kind: PORT_ACCESS, write: false, width: 1, address: 0, lo: 0, hi: 0 };
  private readonly halves = new Uint32Array(2);

  constructor(shared: SharedState, target: ExitTarget) {
    this.shared = shared;
    this.target = target;
  }

  /** What ended the run of one of those CPUs, if anything did. */
  answerAll(): RunEnd | undefined {
    let end: RunEnd | undefined;
    for (let boxes = this.shared.takePosted(); boxes !== 0; boxes &= boxes - 1) {
      const cpu = 31 - Math.clz32(boxes & -boxes);
      this.shared.read(cpu, this.letter);
      this.target.cpu = cpu;
      end = this.answer(cpu) ?? end;
      this.target.cpu = 0;
    }
    return end;
  }

  private answer(cpu: number): RunEnd | undefined {
    const { letter, target, halves, shared } = this;
    const { kind, write, width, address, lo, hi } = letter;
    halves[0] = lo;
    halves[1] = hi;
    let end: RunEnd | undefined;
    if (kind === CPU_ENDED) end = runEnd(cpu, lo | 0, hi, undefined);
    else if (kind === PORT_ACCESS && write) target.writePort(address, width as 1 | 2 | 4, lo);
    else if (kind === PORT_ACCESS) halves[0] = target.readPort(address, width as 1 | 2 | 4);
    else if (write) target.writeMemory(address, width, lo, hi);
    else target.readMemory(address, width, halves);
    shared.answer(cpu, halves[0]!, halves[1]!);
    return end;
  }
}
