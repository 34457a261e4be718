// Entries of attached hardware tables, as hypercalls change them: mapped to registered memory, or taken away.
// Source: kvmppc_tce_iommu_do_map, _do_unmap, _mapped_dec, kvmppc_clear_tce (arch/powerpc/kvm/book3s_64_vio.c; the
// real-mode copies in book3s_64_vio_hv.c of v4.12). Results are hypercall codes. Nothing here allocates, except leaves
// of a table that are written for the first time.
// Invariants: an entry with permissions points into a registered region, and the region counts it; an entry that could
// not be given up is put back.
import { H_CLOSED, H_HARDWARE, H_SUCCESS } from "@minivmm/kvm";
import type { PreregisteredMemory } from "../prereg.ts";
import type { TceTable } from "../table.ts";
import { type Counters, REASON } from "./counters.ts";

export interface UpdateRules {
  /** A failed update has a code of its own (H_HARDWARE, H_CLOSED), which is not another stage's business. */
  readonly distinct: boolean;
  /** Without a user view an entry cannot be given up. */
  readonly needsUserView: boolean;
}

export class HardwareUpdates {
  readonly #regions: PreregisteredMemory;
  readonly #counters: Counters;
  readonly #rules: UpdateRules;

  constructor(regions: PreregisteredMemory, counters: Counters, rules: UpdateRules) {
    this.#regions = regions;
    this.#counters = counters;
    this.#rules = rules;
  }

  /** Maps `count` entries from `first` on to user memory from `user` on; stops at the first that fails. */
  map(table: TceTable, first: number, count: number, user: number, permission: number): number {
    for (let i = 0; i < count; i++) {
      const result = this.#mapOne(table, first + i, user + i * table.pageSize, permission);
      if (result !== H_SUCCESS) return result;
    }
    return H_SUCCESS;
  }

  /** Takes `count` entries away; stops at the first that fails. */
  unmap(table: TceTable, first: number, count: number): number {
    for (let entry = first; entry < first + count; entry++) {
      const result = this.unmapOne(table, entry);
      if (result !== H_SUCCESS) return result;
    }
    return H_SUCCESS;
  }

  unmapOne(table: TceTable, entry: number): number {
    if (table.refuses === null && table.permission(entry) === 0) return H_SUCCESS;
    const page = table.page(entry);
    const old = table.exchange(entry, 0, 0);
    if (old < 0) return this.#failed(H_HARDWARE);
    if (old === 0) return H_SUCCESS;
    const result = this.#mappedDec(table, entry);
    if (result !== H_SUCCESS) table.exchange(entry, page, old);
    return result;
  }

  /** After a failure: no entry of these, whatever they were counted for. */
  clear(table: TceTable, first: number, count: number): void {
    for (let entry = first; entry < first + count; entry++) table.exchange(entry, 0, 0);
  }

  /** Whether an IOMMU page of the table can be mapped to user memory at `user`. */
  isRegistered(table: TceTable, user: number): boolean {
    const region = this.#regions.lookup(user, table.pageSize);
    return region !== null && region.physical(user, table.pageShift) >= 0;
  }

  #mapOne(table: TceTable, entry: number, user: number, permission: number): number {
    if (!table.userView) return this.#counters.tooHard(REASON.noUserView);
    const region = this.#regions.lookup(user, table.pageSize);
    if (region === null) return this.#counters.tooHard(REASON.notRegistered);
    const physical = region.physical(user, table.pageShift);
    if (physical < 0) return this.#failed(H_HARDWARE);
    if (!region.mappedInc()) return this.#failed(H_CLOSED);
    const old = table.exchange(entry, physical, permission);
    if (old < 0) {
      region.mappedDec();
      return this.#failed(H_HARDWARE);
    }
    if (old !== 0) this.#mappedDec(table, entry);
    // Also without permissions: the kernel then counts an entry that no later unmap will find.
    if (table.setUserAddress(entry, user)) return H_SUCCESS;
    region.mappedDec();
    return this.#failed(H_HARDWARE);
  }

  /** The region of an entry's old mapping loses it. */
  #mappedDec(table: TceTable, entry: number): number {
    if (!table.userView) return this.#rules.needsUserView ? this.#counters.tooHard(REASON.noUserView) : H_SUCCESS;
    const region = this.#regions.lookup(table.userAddress(entry), table.pageSize);
    if (region === null) return this.#counters.tooHard(REASON.notRegistered);
    region.mappedDec();
    table.setUserAddress(entry, 0);
    return H_SUCCESS;
  }

  #failed(code: number): number {
    return this.#rules.distinct ? code : this.#counters.tooHard(REASON.hardware);
  }
}
