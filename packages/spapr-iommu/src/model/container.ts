// An sPAPR container: what both driver versions share. Groups come and go, one process owns it (the first that does
// more than ask), DMA is mapped into its windows. Source: struct tce_container, tce_iommu_ioctl.
// Invariants: with an owner fixed, other address spaces get -EPERM for everything; `release` leaves nothing charged
// but what a failed window creation leaked.
import { EPERM } from "@minivmm/host";
import { type IoctlCall, KernelError } from "@minivmm/host/model";
import type { IommuAttachable, IommuInstance } from "@minivmm/vfio-core/model";
import type { SpaprIoctls } from "../uapi.ts";
import { LockedPages } from "./accounting.ts";
import type { TceArena } from "./arena/index.ts";
import { adoptsTable, checkAttach } from "./attach.ts";
import { PageUse } from "./clear.ts";
import { mapDma, unmapDma } from "./dma.ts";
import { eehPeOp } from "./eeh.ts";
import { getInfo } from "./info.ts";
import type { SpaprProfile } from "./profile.ts";
import type { TableGroup } from "./table-group.ts";
import { ContainerWindows } from "./windows.ts";

export interface ContainerContext {
  readonly ioctls: SpaprIoctls;
  readonly profile: SpaprProfile;
  readonly arena: TceArena;
  /** Host page size in bytes. */
  readonly pageSize: number;
  tableGroup(group: IommuAttachable): TableGroup | null;
  checkExtension(ext: number): number;
  warn(message: string): void;
}

export abstract class TceContainer implements IommuInstance {
  abstract readonly v2: boolean;
  enabled = false;
  readonly account = new LockedPages();
  readonly profile: SpaprProfile;
  readonly use: PageUse;
  readonly windows: ContainerWindows;
  protected readonly context: ContainerContext;
  readonly #ioctls: SpaprIoctls;

  constructor(context: ContainerContext, v2: boolean) {
    this.context = context;
    this.profile = context.profile;
    this.#ioctls = context.ioctls;
    this.use = new PageUse(v2, this.account, context.arena);
    this.windows = new ContainerWindows(this.account, this.use, context.profile, context.pageSize);
  }

  /** Commands of one version only; -ENOTTY for the other's. */
  protected abstract versioned(call: IoctlCall): number;
  /** Gives back what the version holds beside windows. */
  protected abstract releaseVersion(): void;

  checkExtension(ext: number): number {
    return this.context.checkExtension(ext);
  }

  attachGroup(attachable: IommuAttachable): void {
    const group = this.context.tableGroup(attachable);
    let result = checkAttach(this, attachable, group);
    if (result === 0 && group !== null) {
      const first = this.windows.groups.length === 0;
      if (adoptsTable(this, group)) {
        result = this.windows.adoptTable(group);
      } else {
        result = this.windows.addGroup(group);
        if (first && this.windows.tables[0] === null) this.windows.defaultPending = true;
      }
      if (result === 0) {
        attachable.iommuGroup.domain = group.domain;
        // The kernel does this when the first device is opened, which cannot come before.
        group.pe.takeOver();
      }
    }
    if (result < 0) throw new KernelError(-result, `group ${attachable.id} cannot join the container`);
  }

  detachGroup(attachable: IommuAttachable): void {
    const group = this.context.tableGroup(attachable);
    if (group === null || !this.windows.groups.includes(group)) {
      this.context.warn(`tce_vfio: detaching unattached group #${attachable.id}`);
      return;
    }
    if (!this.profile.v2) this.disable();
    this.windows.removeGroup(group);
    attachable.iommuGroup.domain = null;
  }

  release(): void {
    this.windows.release();
    this.releaseVersion();
    this.account.mm = null;
    this.enabled = false;
  }

  ioctl(call: IoctlCall): number {
    const { mm } = this.account;
    if (mm !== null && mm !== call.process.mm) return -EPERM;
    switch (call.request) {
      case this.#ioctls.VFIO_IOMMU_MAP_DMA:
        return mapDma(this, call);
      case this.#ioctls.VFIO_IOMMU_UNMAP_DMA:
        return unmapDma(this, call);
      case this.#ioctls.VFIO_IOMMU_SPAPR_TCE_GET_INFO:
        return getInfo(call, this.windows.groups[0], this.v2);
      case this.#ioctls.VFIO_EEH_PE_OP:
        return this.#eeh(call);
      default:
        return this.versioned(call);
    }
  }

  /** Makes the caller the owner; the dispatch has refused other processes already. */
  protected own(call: IoctlCall): void {
    this.account.mm = call.process.mm;
  }

  /** Only v1 can be disabled. */
  protected disable(): void {
    this.enabled = false;
  }

  /** Every PE in turn, up to the first that answers anything but 0. */
  #eeh(call: IoctlCall): number {
    for (const group of this.windows.groups) {
      const result = eehPeOp(call, group);
      if (result !== 0) return result;
    }
    return 0;
  }
}
