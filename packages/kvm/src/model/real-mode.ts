// The seam to "real mode": hypercalls of a VM that compiled code answers while the guest runs, before anything that is
// written in JavaScript hears of them. On a real POWER host it is what KVM does with the MMU off, before it leaves guest
// context (arch/powerpc/kvm/book3s_hv_rmhandlers.S, hcall_try_real_mode). Compiled code is opaque here.

/** The CPU's side: where compiled code is put, and what it may import. */
export interface CompiledCalls {
  /** Functions of the engine for the code to import. */
  readonly imports: object;
  /** Compiled code for (r3 to r7) -> (answered, r3, r4), or null for none. */
  use(code: object | null): void;
}

/** One VM's stage. */
export interface RealMode {
  /** Puts the code in front of a CPU's hypercalls. Returns what counts the calls answered there, by number. */
  enter(cpu: CompiledCalls): () => ReadonlyMap<number, number>;
  /** To be called before the guest goes on: memory slots and switches of hypercalls may have changed. */
  prepare(): void;
  /** For those who have no guest: the result, with r4 written, or H_TOO_HARD with nothing changed. */
  call(gpr: BigUint64Array): number;
}
