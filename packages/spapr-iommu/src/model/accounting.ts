// Locked-page accounting of a container: everything it charges goes to the address space that it was first used from.
// Source: account_locked_vm (mm/util.c). Invariant: `charged` is what this container still has to give back, without
// the pages that a failed window creation left behind (the kernel forgets those until the process exits).
import type { AddressSpace } from "@minivmm/host/model";

export class LockedPages {
  /** Set by the first ioctl that fixes the container's owner. */
  mm: AddressSpace | null = null;
  /** Pages that failed window creations left charged to the process. */
  leaked = 0;
  #charged = 0;

  get charged(): number {
    return this.#charged;
  }

  /** 0, or -ENOMEM over RLIMIT_MEMLOCK. Without an owner, or for no pages, nothing is counted. */
  charge(pages: number): number {
    if (pages === 0 || this.mm === null) return 0;
    const result = this.mm.account(pages);
    if (result === 0) this.#charged += pages;
    return result;
  }

  release(pages: number): void {
    if (pages === 0 || this.mm === null) return;
    this.mm.account(-pages);
    this.#charged -= pages;
  }

  /** The pages stay charged to the process, but nobody will give them back. */
  leak(pages: number): void {
    if (this.mm === null) return;
    this.#charged -= pages;
    this.leaked += pages;
  }
}
