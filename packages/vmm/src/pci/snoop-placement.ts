// Which container a group goes to whose configuration names none: the shared one, or one beside it for those whose DMA the IOMMU
// treats otherwise. A container's DMA always snoops only if that of each of its groups does.
// Invariants: a group has one container; at most two are used, one for each kind; once kinds had to be mixed they stay so.

export const SHARED_CONTAINER = "default";
export const CONTAINER_APART = "default, apart";

export class SnoopPlacement {
  private readonly kindOf: (container: string) => boolean | null;
  private readonly homes = new Map<number, string>();
  private mixed = false;

  /** `kindOf`: whether DMA of a container that has groups always snoops now, null where that is not known. */
  constructor(kindOf: (container: string) => boolean | null) {
    this.kindOf = kindOf;
  }

  /** Name of the container. `ask`: whether DMA of the group alone would always snoop; called only where it matters. */
  place(group: number, ask: () => boolean | null): string {
    let home = this.homes.get(group);
    if (home === undefined) {
      home = this.homes.size === 0 || this.mixed ? SHARED_CONTAINER : this.choose(ask());
      this.homes.set(group, home);
    }
    return home;
  }

  /** A container apart cannot be had: the group and all further ones share. */
  mix(group: number): void {
    this.mixed = true;
    this.homes.set(group, SHARED_CONTAINER);
  }

  private choose(kind: boolean | null): string {
    if (kind === null) return SHARED_CONTAINER;
    return [...new Set(this.homes.values())].find((name) => this.kindOf(name) === kind) ?? CONTAINER_APART;
  }
}
