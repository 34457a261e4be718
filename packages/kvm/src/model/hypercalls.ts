// The hypercalls that the modelled KVM answers itself, and which of them are switched on in one VM.
// Source: arch/powerpc/kvm/book3s_hv.c (kvmppc_pseries_do_hcall), powerpc.c (KVM_CAP_PPC_ENABLE_HCALL).
// Handlers get the general registers as pairs of 32-bit halves, [2n] low and [2n + 1] high: r3 is the call, r4 on are
// its arguments. They return what goes to r3 (sign-extended), and write other results into the registers themselves.
// Invariant: a call that is unknown, switched off or too hard leaves every register alone and is user space's.
import { EINVAL } from "@minivmm/host";
import type { Hypercall, HypercallHandler, HypercallTable, Vm } from "./frame.ts";

/** Never seen by a guest: KVM_RUN returns with KVM_EXIT_PAPR_HCALL. */
export const H_TOO_HARD = 9999;
/** The last call that can be switched (H_GUEST_DELETE). */
export const MAX_HCALL_OPCODE = 0x488;

export class Hypercalls implements HypercallTable {
  version = 0;
  readonly #vm: Vm;
  readonly #known: ReadonlyMap<number, Hypercall>;
  /** Handlers that are on, by call number / 4. */
  readonly #on: (HypercallHandler | null)[] = new Array<HypercallHandler | null>(MAX_HCALL_OPCODE / 4 + 1).fill(null);

  constructor(vm: Vm, known: ReadonlyMap<number, Hypercall>) {
    this.#vm = vm;
    this.#known = known;
    for (const [nr, { handle, enabled }] of known) if (enabled) this.#on[nr / 4] = handle;
  }

  call(gpr: Uint32Array): number {
    const nr = gpr[6] as number;
    if (gpr[7] !== 0 || nr > MAX_HCALL_OPCODE || (nr & 3) !== 0) return H_TOO_HARD;
    const handle = this.#on[nr >>> 2] as HypercallHandler | null;
    return handle === null ? H_TOO_HARD : handle(this.#vm, gpr);
  }

  isOn(nr: number): boolean {
    return (this.#on[nr >>> 2] ?? null) !== null;
  }

  enable(nr: bigint, on: bigint): number {
    if (nr > MAX_HCALL_OPCODE || (nr & 3n) !== 0n || on > 1n) return -EINVAL;
    const call = this.#known.get(Number(nr));
    if (!call) return -EINVAL;
    this.#on[Number(nr) / 4] = on === 1n ? call.handle : null;
    this.version++;
    return 0;
  }
}
