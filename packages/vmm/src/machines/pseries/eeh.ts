// Which VFIO container the host bridge's EEH works on. EEH isolates and resets a PE as a whole and the guest knows one PE
// a bridge, so it is there only while the passed-through functions are all in one container of one group.
// Source: QEMU 7.2 hw/vfio/common.c (vfio_eeh_as_ok) and hw/ppc/spapr_pci_vfio.c.
// Invariant: nothing here throws; what the host refuses comes back as -errno.

/** VFIO_EEH_PE_OP on a container: 0 or a state, or -errno. EehPe of @minivmm/spapr-iommu answers it. */
export interface EehOps {
  enable(): number;
  disable(): number;
  /** VFIO_EEH_PE_STATE_*, whose numbers are RTAS's own. */
  state(): number;
  thawIo(): number;
  thawDma(): number;
  resetHot(): number;
  resetFundamental(): number;
  resetDeactivate(): number;
  configure(): number;
}

/** A VFIO container that the bridge's DMA goes through. */
export interface EehContainer {
  /** Groups in it now. */
  readonly groupCount: number;
  /** Undefined while the container has no IOMMU of the sPAPR kind. */
  readonly eeh: EehOps | undefined;
  /** Whether the host has EEH at all (extension VFIO_EEH). */
  readonly hasEeh: boolean;
}

export class EehContainers {
  private readonly containers: EehContainer[] = [];

  add(container: EehContainer): void {
    this.containers.push(container);
  }

  /** The operations of the only container, undefined when it is not the only one or has not exactly one group. */
  get ops(): EehOps | undefined {
    return this.only()?.eeh;
  }

  /** Whether the guest is told of EEH: it has a PE, and the host has EEH for it. */
  get offered(): boolean {
    const only = this.only();
    return only?.eeh !== undefined && only.hasEeh;
  }

  /** Before a guest starts: a PE that an earlier owner left frozen works again. */
  reenable(): void {
    if (this.offered) this.ops?.enable();
  }

  private only(): EehContainer | undefined {
    const used = this.containers.filter(({ groupCount }) => groupCount > 0);
    return used.length === 1 && used[0]!.groupCount === 1 ? used[0] : undefined;
  }
}
