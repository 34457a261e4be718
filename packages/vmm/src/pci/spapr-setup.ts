// A container of the sPAPR kind, set up for one VM: version, locked memory, KVM's knowledge of the groups, and the guest's
// DMA windows. Source: QEMU 7.2 hw/vfio/common.c (vfio_connect_container, vfio_put_group) and hw/vfio/spapr.c.
// Order of setting up: IOMMU type, all RAM (version 2: REGISTER_MEMORY; version 1: ENABLE), away with the default window,
// groups to KVM, windows with their links, entries that are there. Tearing down is the reverse: groups from KVM, windows,
// memory. Invariant: close() leaves nothing of it in the host, and never throws.
import type { GuestMemory, Host } from "@minivmm/host";
import { SpaprContainer } from "@minivmm/spapr-iommu";
import { VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, type VfioContainer } from "@minivmm/vfio-core";
import { VmmError } from "../errors.ts";
import type { EehOps } from "../machines/pseries/eeh.ts";
import type { TceWindows } from "../machines/pseries/iommu.ts";
import type { TceAcceleration } from "../machines/pseries/tce-acceleration.ts";
import type { DmaSummary } from "../summary.ts";
import { SpaprDma } from "./spapr-dma.ts";
import type { IommuSetup } from "./vfio-session.ts";

export interface SpaprSetupOptions {
  readonly host: Host;
  readonly ram: GuestMemory;
  /** The guest's DMA windows, which the container follows. */
  readonly windows: TceWindows;
  readonly counters: DmaSummary;
  /** KVM, which hears of every group. */
  readonly acceleration?: TceAcceleration | undefined;
}

export class SpaprSetup implements IommuSetup {
  private readonly options: SpaprSetupOptions;
  private readonly spapr: SpaprContainer;
  private readonly v2: boolean;
  private readonly groups: number[] = [];
  private dma: SpaprDma | undefined;

  /** `container` has a group and no IOMMU type yet, `type` is the first that it offers. Throws VmmError PASSTHROUGH, SpaprError. */
  constructor(container: VfioContainer, type: number | undefined, options: SpaprSetupOptions) {
    if (type !== VFIO_SPAPR_TCE_v2_IOMMU && type !== VFIO_SPAPR_TCE_IOMMU) {
      throw new VmmError("machine pseries needs a host with an sPAPR TCE IOMMU, and this one has none", {
        code: "PASSTHROUGH",
        details: { type },
        hint:
          options.host.arch === "ppc64le"
            ? "load it: modprobe vfio_iommu_spapr_tce"
            : "pass devices through on a POWER host, or on a modelled one such as power9",
      });
    }
    this.options = options;
    this.v2 = type === VFIO_SPAPR_TCE_v2_IOMMU && trySetIommu(container);
    if (!this.v2) container.setIommu(VFIO_SPAPR_TCE_IOMMU);
    this.spapr = new SpaprContainer(container);
    const { ram } = options;
    if (this.v2) this.spapr.registerMemory(ram.u8);
    else this.spapr.enable();
  }

  get kind(): "spapr-v1" | "spapr-v2" {
    return this.v2 ? "spapr-v2" : "spapr-v1";
  }

  /** EEH of the groups in the container. */
  get eeh(): EehOps {
    return this.spapr.eeh;
  }

  /** The first group is in the container: windows as the guest has them. Throws VmmError DMA_WINDOW, SpaprError. */
  start(groupFd: number): void {
    const { host, ram, windows, counters, acceleration } = this.options;
    const info = this.spapr.info();
    if (this.v2) this.spapr.removeWindow(BigInt(info.dma32WindowStart));
    this.dma = new SpaprDma({
      target: this.spapr,
      ram,
      ramAddress: host.addressOf(ram.u8),
      pgsizes: this.v2 ? info.pgsizes : 0n,
      maxLevels: info.levels,
      hostPageSize: host.pageSize,
      counters,
      acceleration,
    });
    this.addGroup(groupFd);
    windows.listen(this.dma);
    if (counters.windowErrors > 0) {
      throw new VmmError(`the host cannot make the guest's DMA window: ${counters.messages[0]}`, {
        code: "DMA_WINDOW",
        details: { messages: counters.messages },
        hint: "try a smaller default window (dmaWindowBytes)",
      });
    }
  }

  /** A group that has joined the container. KVM that does not take it cannot link it either, and says so then. */
  addGroup(groupFd: number): void {
    this.options.acceleration?.addGroup(groupFd);
    this.groups.push(groupFd);
    this.dma?.addGroup(groupFd);
  }

  close(): void {
    const { acceleration, windows, ram } = this.options;
    for (const fd of this.groups.splice(0).reverse()) acceleration?.removeGroup(fd);
    if (this.dma !== undefined) {
      windows.unlisten(this.dma);
      this.dma.close();
    }
    this.dma = undefined;
    if (!this.v2) return;
    try {
      this.spapr.unregisterMemory(ram.u8);
    } catch {
      // Memory that an entry is still counted for stays the container's, which goes next.
    }
  }
}

/** Version 2 where the platform can, else false: the caller falls back to version 1, as QEMU does. */
function trySetIommu(container: VfioContainer): boolean {
  try {
    container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
    return true;
  } catch {
    return false;
  }
}
