// The VFIO side of one VM: one container over the VM's memory, the groups in it, and the IOMMU set up once.
// Source: the order of operations of QEMU 7.2 (hw/vfio/common.c vfio_get_group, vfio_connect_container): open group,
// VIABLE, container, API version, extensions 3, 1, 7, 2 in that order, SET_CONTAINER, SET_IOMMU, memory, then devices.
// Invariant: everything that was opened is closed by close(), in reverse order.
import type { GuestMemory, Host } from "@minivmm/host";
import { SpaprContainer } from "@minivmm/spapr-iommu";
import {
  iommuGroupOf,
  requireVfioDriver,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  type VfioDevice,
  VfioGroup,
} from "@minivmm/vfio-core";
import { VmmError } from "../errors.ts";
import type { TceListener } from "../machines/pseries/iommu.ts";
import { type DmaSummary, newDmaSummary } from "../summary.ts";
import { SpaprDma } from "./spapr-dma.ts";

const IOMMU_TYPES = [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU];

export interface VfioSessionOptions {
  readonly host: Host;
  readonly ram: GuestMemory;
  /** Called once the container can map: puts the listener on the guest's DMA windows. */
  readonly attach: (listener: TceListener) => void;
  /** A container that somebody with more rights opened; it stays theirs to close. */
  readonly containerFd?: number | undefined;
}

export class VfioSession {
  readonly counters: DmaSummary = newDmaSummary();
  private readonly host: Host;
  private readonly ram: GuestMemory;
  private readonly attach: (listener: TceListener) => void;
  private readonly groups = new Map<number, VfioGroup>();
  private readonly devices: VfioDevice[] = [];
  private readonly containerFd: number | undefined;
  private container: VfioContainer | undefined;

  constructor({ host, ram, attach, containerFd }: VfioSessionOptions) {
    this.host = host;
    this.ram = ram;
    this.attach = attach;
    this.containerFd = containerFd;
  }

  /**
   * Opens a function of the host, with its group (or the descriptor of it that was passed in) and the container as
   * needed. Throws VfioError or VmmError PASSTHROUGH.
   */
  open(bdf: string, groupFd?: number): VfioDevice {
    const id = iommuGroupOf(this.host, bdf);
    requireVfioDriver(this.host, bdf);
    const group = this.groups.get(id) ?? this.openGroup(id, groupFd);
    const device = group.device(bdf);
    this.devices.push(device);
    return device;
  }

  /** Never throws: what the host refuses to let go of, it takes back when the process ends. */
  close(): void {
    for (const device of this.devices.reverse()) device.close();
    for (const group of [...this.groups.values()].reverse()) {
      try {
        group.unsetContainer();
      } catch {
        // The group leaves its container with the process.
      }
      group.close();
    }
    this.container?.close();
    this.devices.length = 0;
    this.groups.clear();
    this.container = undefined;
  }

  private openGroup(id: number, fd: number | undefined): VfioGroup {
    const group = VfioGroup.open(this.host, id, fd);
    try {
      group.requireViable();
      if (this.container === undefined) this.openContainer(group);
      else group.setContainer(this.container);
    } catch (error) {
      group.close();
      throw error;
    }
    this.groups.set(id, group);
    return group;
  }

  private openContainer(group: VfioGroup): void {
    const container = VfioContainer.open(this.host, this.containerFd);
    let joined = false;
    try {
      const type = IOMMU_TYPES.find((candidate) => container.checkExtension(candidate) > 0);
      group.setContainer(container);
      joined = true;
      this.setUpSpapr(container, type);
    } catch (error) {
      if (joined) group.unsetContainer();
      container.close();
      throw error;
    }
    this.container = container;
  }

  private setUpSpapr(container: VfioContainer, type: number | undefined): void {
    if (type !== VFIO_SPAPR_TCE_v2_IOMMU && type !== VFIO_SPAPR_TCE_IOMMU) {
      throw new VmmError("machine pseries needs a host with an sPAPR TCE IOMMU, and this one has none", {
        code: "PASSTHROUGH",
        details: { type },
        hint: "pass devices through on a POWER host, or on a modelled one such as power9",
      });
    }
    const v2 = type === VFIO_SPAPR_TCE_v2_IOMMU && this.trySetIommu(container);
    if (!v2) container.setIommu(VFIO_SPAPR_TCE_IOMMU);
    const spapr = new SpaprContainer(container);
    if (v2) spapr.registerMemory(this.ram.u8);
    else spapr.enable();
    const info = spapr.info();
    if (v2) spapr.removeWindow(BigInt(info.dma32WindowStart));
    this.attach(
      new SpaprDma({
        target: spapr,
        ram: this.ram,
        ramAddress: this.host.addressOf(this.ram.u8),
        pgsizes: v2 ? info.pgsizes : 0n,
        maxLevels: info.levels,
        hostPageSize: this.host.pageSize,
        counters: this.counters,
      }),
    );
    if (this.counters.windowErrors > 0) {
      throw new VmmError(`the host cannot make the guest's DMA window: ${this.counters.messages[0]}`, {
        code: "DMA_WINDOW",
        details: { messages: this.counters.messages },
        hint: "try a smaller default window (dmaWindowBytes)",
      });
    }
  }

  /** Version 2 where the platform can, else false: the caller falls back to version 1, as QEMU does. */
  private trySetIommu(container: VfioContainer): boolean {
    try {
      container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
      return true;
    } catch {
      return false;
    }
  }
}
