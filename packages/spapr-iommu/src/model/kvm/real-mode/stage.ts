// One VM's real mode: compiled code for each CPU and for callers without one, over the same records.
// Invariants: code is made once for each; the counters of answered calls live as long as the VM.
import { ENOMEM } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import { type CompiledCalls, H_TOO_HARD, type RealMode } from "@minivmm/kvm/model";
import { instantiate } from "@minivmm/ppc64/wasm";
import { readNumber, VM, type WasmPlace } from "../../arena/index.ts";
import { KINDS } from "../counters.ts";
import type { VmTce } from "../vm-tce.ts";
import { NUMBERS, type RealModeExports, realModeModule } from "./module.ts";
import type { RealModeRules } from "./rules.ts";
import { userMemory } from "./user-memory.ts";

const COUNTERS = KINDS.length * 2;

export class TceRealMode implements RealMode {
  readonly #tce: VmTce;
  readonly #place: WasmPlace;
  readonly #rules: RealModeRules;
  readonly #counters: number[] = [];
  #hypercallsVersion = -1;
  #answer: RealModeExports["answer"] | null = null;

  constructor(tce: VmTce, place: WasmPlace, rules: RealModeRules) {
    this.#tce = tce;
    this.#place = place;
    this.#rules = rules;
  }

  /** Throws KernelError ENOMEM when the arena is full. */
  enter(cpu: CompiledCalls): () => ReadonlyMap<number, number> {
    const { answer, counts } = this.#compile(cpu.imports);
    cpu.use(answer);
    return counts;
  }

  prepare(): void {
    const { vm, arena, record } = this.#tce;
    this.#tce.refresh();
    if (this.#hypercallsVersion === vm.hypercalls.version) return;
    this.#hypercallsVersion = vm.hypercalls.version;
    arena.words[record + VM.ENABLED] = NUMBERS.reduce(
      (on, nr, kind) => on | (vm.hypercalls.isOn(nr) ? 1 << kind : 0),
      0,
    );
  }

  call(gpr: BigUint64Array): number {
    this.#answer ??= this.#compile(userMemory(this.#tce.vm)).answer;
    const [answered, r3, r4] = this.#answer(...gpr.subarray(3, 8));
    if (answered === 0) return H_TOO_HARD;
    gpr[4] = r4;
    return Number(r3);
  }

  /** The VM is gone. */
  release(): void {
    for (const counters of this.#counters) this.#tce.arena.free(counters, COUNTERS);
  }

  #compile(guestMemory: object): { answer: RealModeExports["answer"]; counts: () => ReadonlyMap<number, number> } {
    const { arena, record } = this.#tce;
    const answered = arena.allocate(COUNTERS);
    if (answered === 0) throw new KernelError(ENOMEM, "the TCE arena is full");
    this.#counters.push(answered);
    const { memory, base } = this.#place;
    const shared = memory.buffer instanceof SharedArrayBuffer;
    const bytes = realModeModule(this.#rules, { record, answered, base, shared });
    const warn = (index: number): void => this.#tce.warnOnce(index);
    const { answer } = instantiate<RealModeExports>(bytes, { ...guestMemory, memory, warn });
    const counts = (): ReadonlyMap<number, number> =>
      new Map(NUMBERS.map((nr, kind) => [nr, readNumber(arena.words, answered + kind * 2)]));
    return { answer, counts };
  }
}
