/**
 * Groups and domains of a container: which groups are attached, which IOMMU domains they need, and what that leaves of
 * the IOVA space. Groups share a domain when the IOMMU treats no-snoop DMA alike for both.
 *
 * Attaching checks in the kernel's order and leaves nothing behind when it fails. The last group behind an IOMMU takes the
 * mappings with it, unless mediated devices stay: then they lose their pages only.
 * Source: vfio_iommu_type1_attach_group, _detach_group, vfio_iommu_replay.
 */
import { EBUSY, EINVAL, EPERM } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import type { IommuAttachable } from "../iommu-driver.ts";
import { IOVA_PAGE_SIZE, type IommuUnit, pageSizeMask, type ReservedPages, reservedPages } from "./hardware.ts";
import type { DmaMapping } from "./mapping.ts";
import type { Type1Profile } from "./profile.ts";
import type { Type1State } from "./state.ts";

interface Domain {
  /** No-snoop DMA of its groups is snooped all the same. */
  readonly enforced: boolean;
  /** First address behind the aperture, in IOVA pages. */
  readonly end: number;
  readonly pgsizes: bigint;
  /** Attached groups with what is reserved for them. */
  readonly groups: Map<IommuAttachable, readonly ReservedPages[]>;
}

export interface DomainOptions {
  /** The hardware in front of a group; null when there is none. */
  unitOf(group: IommuAttachable): IommuUnit | null;
  /** allow_unsafe_interrupts at this moment. */
  unsafeInterrupts(): boolean;
  readonly profile: Type1Profile;
}

export class Type1Domains {
  readonly #state: Type1State;
  readonly #options: DomainOptions;
  readonly #emulated = new Set<IommuAttachable>();
  readonly #domains: Domain[] = [];

  constructor(state: Type1State, options: DomainOptions) {
    this.#state = state;
    this.#options = options;
  }

  /** Number of IOMMU domains. */
  get count(): number {
    return this.#domains.length;
  }

  /** VFIO_DMA_CC_IOMMU: all DMA is coherent. True without any domain. */
  get coherent(): boolean {
    return this.#domains.every((domain) => domain.enforced);
  }

  /** Throws KernelError of the first rule that refuses. */
  attach(group: IommuAttachable): void {
    const state = this.#state;
    if (state.vaddrInvalid > 0) throw refuse(EBUSY, group, "a mapping has no valid user address");
    if (this.#emulated.has(group) || this.#domainOf(group)) throw refuse(EINVAL, group, "it is attached already");
    if (group.type === "emulated") {
      this.#emulated.add(group);
      state.emulatedGroups++;
      return;
    }
    const unit = this.#options.unitOf(group);
    if (!unit) throw refuse(this.#options.profile.noIommu, group, "there is no IOMMU in front of it");
    if (state.nesting && !unit.nesting) throw refuse(EINVAL, group, "its IOMMU has no nested translation");
    if (unit.attachErrno !== 0) throw refuse(unit.attachErrno, group, "its IOMMU does not take it");

    const end = 2 ** (unit.addressWidth - 12);
    const reserved = reservedPages(unit);
    const mapped = (from: number, to: number) => state.mappings.overlap(from, to) !== null;
    if (state.windows.conflictsWith(0, end, mapped))
      throw refuse(EINVAL, group, "its IOMMU cannot address all mappings");
    if (reserved.some((hole) => mapped(hole.start, hole.end)))
      throw refuse(EINVAL, group, "a mapping is in its reserved region");
    const windows = state.windows.copy();
    windows.resize(0, end);
    if (!windows.exclude(reserved)) throw refuse(EINVAL, group, "no IOVA would be left");
    if (!unit.isolatedMsi && !this.#options.unsafeInterrupts())
      throw refuse(EPERM, group, "its interrupts are not isolated");

    this.#join(group, { enforced: unit.snoopControl, end, pgsizes: pageSizeMask(unit), groups: new Map() }, reserved);
    state.windows = windows;
    state.iommuGroups++;
    group.iommuGroup.domain = state.table;
    group.iommuGroup.enforcesSnoop = unit.snoopControl;
  }

  detach(group: IommuAttachable): void {
    const state = this.#state;
    if (this.#emulated.delete(group)) {
      state.emulatedGroups--;
      if (this.#emulated.size === 0 && this.#domains.length === 0) state.removeAll();
      return;
    }
    const domain = this.#domainOf(group);
    if (!domain) return;
    domain.groups.delete(group);
    group.iommuGroup.domain = null;
    group.iommuGroup.enforcesSnoop = false;
    state.iommuGroups--;
    if (domain.groups.size === 0) this.#dissolve(domain);
    state.windows.refresh(this.#domains.flatMap(({ groups }) => [...groups.values()].flat()));
  }

  #domainOf(group: IommuAttachable): Domain | undefined {
    return this.#domains.find(({ groups }) => groups.has(group));
  }

  #join(group: IommuAttachable, fresh: Domain, reserved: readonly ReservedPages[]): void {
    const shared = this.#domains.find(
      ({ enforced, pgsizes }) => enforced === fresh.enforced && (pgsizes & fresh.pgsizes) === pgsizes,
    );
    if (!shared) {
      this.#replay(group, fresh.pgsizes);
      this.#domains.push(fresh);
      this.#state.setPageSizes(this.#domains.map(({ pgsizes }) => pgsizes));
    }
    (shared ?? fresh).groups.set(group, reserved);
  }

  /** Puts all mappings into a new domain; those that no IOMMU has yet are pinned now. */
  #replay(group: IommuAttachable, pgsizes: bigint): void {
    const unit = Math.max(Number(pgsizes & -pgsizes), this.#state.pageSize);
    const pinned: DmaMapping[] = [];
    for (const mapping of this.#state.mappings.all()) {
      let result = fits(mapping, unit) ? 0 : -EINVAL;
      if (result === 0 && !mapping.runs) {
        result = this.#state.pinner.pin(mapping, unit);
        if (result === 0) pinned.push(mapping);
      }
      if (result === 0) continue;
      for (const each of pinned) this.#state.pinner.unpin(each);
      throw refuse(-result, group, "a mapping cannot be made for it");
    }
  }

  #dissolve(domain: Domain): void {
    const state = this.#state;
    if (this.#domains.length === 1) {
      if (this.#emulated.size === 0) state.removeAll();
      else for (const mapping of state.mappings.all()) state.pinner.unpin(mapping);
      state.table.flush();
    }
    this.#domains.splice(this.#domains.indexOf(domain), 1);
    state.windows.expand(0, Math.min(2 ** 52, ...this.#domains.map(({ end }) => end)));
    state.setPageSizes(this.#domains.map(({ pgsizes }) => pgsizes));
  }
}

/** Is the mapping made of whole IOMMU pages of `unit` bytes? */
function fits({ start, end, runs }: DmaMapping, unit: number): boolean {
  const pages = unit / IOVA_PAGE_SIZE;
  return start % pages === 0 && end % pages === 0 && (runs ?? []).every(({ physical }) => physical % unit === 0);
}

function refuse(errno: number, group: IommuAttachable, why: string): KernelError {
  return new KernelError(errno, `group ${group.id} cannot join the container: ${why}`);
}
