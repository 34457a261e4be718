/**
 * What a hot reset holds while it runs: descriptors of all groups, a container for the one group whose device is asked.
 *
 * Invariant: whatever was opened or attached here is closed or detached by close(), also when opening fails half way;
 * groups that the caller brought stay as they were.
 */
import { errnoName, type Host } from "@minivmm/host";
import {
  VFIO_NOIOMMU_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  VfioGroup,
} from "@minivmm/vfio-core";
import { HotResetError } from "../error.ts";
import { type GroupOwnership, openGroupNode } from "./group-ownership.ts";

/** The best first. */
const PREFERRED = [
  VFIO_TYPE1v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_NOIOMMU_IOMMU,
];

export class HeldGroups implements Disposable {
  readonly #host: Host;
  readonly #groups: VfioGroup[] = [];
  readonly #opened: number[] = [];
  #container: VfioContainer | null = null;
  #attached: VfioGroup | null = null;

  /** Opens the nodes that `owned` does not bring. Throws HotResetError NOT_OWNED when one cannot be had. */
  constructor(host: Host, groups: readonly GroupOwnership[], owned: readonly VfioGroup[]) {
    this.#host = host;
    try {
      for (const group of groups) this.#groups.push(owned.find(({ id }) => id === group.id) ?? this.#open(group));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get groups(): readonly VfioGroup[] {
    return this.#groups;
  }

  /**
   * Gives the group what its devices need to be opened: a container with an IOMMU. One that has a container already
   * keeps it. Throws VfioError GROUP_NOT_VIABLE, WRONG_IOMMU_TYPE, PERMISSION, REFUSED.
   */
  attach(id: number): VfioGroup {
    const group = this.#groups.find((each) => each.id === id) as VfioGroup;
    if (group.status().containerSet) return group;
    this.#container = VfioContainer.open(this.#host);
    group.setContainer(this.#container);
    this.#attached = group;
    const offered = this.#container.iommuTypes();
    this.#container.setIommu(PREFERRED.find((type) => offered.includes(type)) ?? VFIO_TYPE1v2_IOMMU);
    return group;
  }

  /** A group that is closed leaves its container by itself; one that stays open is taken out. */
  close(): void {
    const attached = this.#attached;
    if (attached !== null && !this.#opened.includes(attached.fd)) attached.unsetContainer();
    for (const fd of this.#opened.splice(0).reverse()) this.#host.close(fd);
    this.#container?.close();
    this.#attached = null;
    this.#container = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open({ id, node }: GroupOwnership): VfioGroup {
    const fd = openGroupNode(this.#host, node);
    if (fd < 0) throw groupRefused(this.#host, id, node, fd);
    this.#opened.push(fd);
    return VfioGroup.open(this.#host, id, fd);
  }
}

/** The survey found the node open to us: it changed since. */
function groupRefused(host: Host, id: number, node: string, result: number): HotResetError {
  return new HotResetError(`${node} cannot be opened on ${host.name}: ${errnoName(-result)}`, {
    code: "NOT_OWNED",
    errno: -result,
    details: { missing: [id], node },
    hint: "Somebody took it since it was looked at; plan again.",
  });
}
