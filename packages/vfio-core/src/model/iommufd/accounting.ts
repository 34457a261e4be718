/**
 * Who pays for pinned pages: nobody (CAP_IPC_LOCK when the memory was mapped), the user, or the address space.
 *
 * Per user is iommufd's own way: one counter for all processes of a user, compared with the limit of the process that
 * mapped. Per address space is VFIO's. Source: incr_user_locked_vm, update_mm_locked_vm (iommufd/pages.c).
 * The model knows two users: root and the others.
 */
import { ENOMEM } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";

/** IOPT_PAGES_ACCOUNT_*: of an iommufd, what mappings of processes without CAP_IPC_LOCK use. */
export type AccountMode = "user" | "mm";

/** Charges pages, or with a negative number gives them back: 0, or -ENOMEM over the limit. */
export type Charge = (pages: number) => number;

export class UserAccounts {
  readonly #locked = new Map<string, number>();

  /** Pages charged to the process's user. */
  lockedBy(process: ModelProcess): number {
    return this.#locked.get(userOf(process)) ?? 0;
  }

  /** How pages are charged that `process` maps now. */
  chargeFor(process: ModelProcess, mode: AccountMode): Charge {
    if (process.has("IPC_LOCK")) return () => 0;
    if (mode === "mm") return (pages) => process.mm.account(pages);
    const user = userOf(process);
    return (pages) => {
      const locked = (this.#locked.get(user) ?? 0) + pages;
      if (pages > 0 && locked > Math.floor(process.rlimits.memlock.soft / process.pageSize)) return -ENOMEM;
      this.#locked.set(user, locked);
      return 0;
    };
  }
}

function userOf(process: ModelProcess): string {
  return process.root ? "root" : "other";
}
