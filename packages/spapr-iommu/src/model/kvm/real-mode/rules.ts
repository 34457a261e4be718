// What is built into the compiled code of one VM's real mode: where its records lie, and the kernel's rules.
// Source: arch/powerpc/kvm/book3s_64_vio_hv.c of v4.12 to v5.19, after which it was removed.
import type { KvmTceProfile } from "../profile.ts";

export interface RealModeRules {
  /** log2 of the host page. */
  readonly pageShift: number;
  /** What a TCE that cannot be is answered with. From 4.19 on "tooHard", as in virtual mode. */
  readonly validate: KvmTceProfile["validate"];
  /** H_HARDWARE and H_CLOSED of an entry clear it, and the call goes on; else they are the next stage's business. */
  readonly goesOn: boolean;
  /** H_PUT_TCE_INDIRECT looks at the whole list before it writes anything. */
  readonly twoPasses: boolean;
  /** Leaves everything to virtual mode: the kernel's way with radix guests, which may run with translation on. */
  readonly punts: boolean;
}

export interface RealModePlace {
  /** The VM record, and four counters (in the order of KINDS) of calls that are answered: words of the arena. */
  readonly record: number;
  readonly answered: number;
  /** Byte of the memory at which the arena begins. */
  readonly base: number;
  readonly shared: boolean;
}
