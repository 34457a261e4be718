// The VFIO side of one VM: one container over the VM's memory, the groups in it, and the IOMMU set up once.
// Source: the order of operations of QEMU 7.2 (hw/vfio/common.c vfio_get_group, vfio_connect_container): open group,
// VIABLE, container, API version, extensions 3, 1, 7, 2 in that order, SET_CONTAINER, SET_IOMMU and what follows from it
// (spapr-setup.ts), then devices.
// Invariant: everything that was opened is closed by close(), in reverse order.
import type { GuestMemory, Host } from "@minivmm/host";
import {
  iommuGroupOf,
  requireVfioDriver,
  VFIO_EEH,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  type VfioDevice,
  VfioGroup,
} from "@minivmm/vfio-core";
import type { EehContainer, EehOps } from "../machines/pseries/eeh.ts";
import type { TceWindows } from "../machines/pseries/iommu.ts";
import type { TceAcceleration } from "../machines/pseries/tce-acceleration.ts";
import { type DmaSummary, newDmaSummary } from "../summary.ts";
import { SpaprSetup } from "./spapr-setup.ts";

const IOMMU_TYPES = [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU];

export interface VfioSessionOptions {
  readonly host: Host;
  readonly ram: GuestMemory;
  /** The guest's DMA windows, which the container follows. */
  readonly windows: TceWindows;
  /** A container that somebody with more rights opened; it stays theirs to close. */
  readonly containerFd?: number | undefined;
  /** KVM, which hears of every group. */
  readonly acceleration?: TceAcceleration | undefined;
}

export class VfioSession implements EehContainer {
  readonly counters: DmaSummary = newDmaSummary();
  private readonly host: Host;
  private readonly ram: GuestMemory;
  private readonly windows: TceWindows;
  private readonly acceleration: TceAcceleration | undefined;
  private readonly groups = new Map<number, VfioGroup>();
  private readonly devices: VfioDevice[] = [];
  private readonly containerFd: number | undefined;
  private container: VfioContainer | undefined;
  private iommu: SpaprSetup | undefined;

  constructor({ host, ram, windows, containerFd, acceleration }: VfioSessionOptions) {
    this.host = host;
    this.ram = ram;
    this.windows = windows;
    this.acceleration = acceleration;
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

  get groupCount(): number {
    return this.groups.size;
  }

  get eeh(): EehOps | undefined {
    return this.iommu?.eeh;
  }

  get hasEeh(): boolean {
    return (this.container?.checkExtension(VFIO_EEH) ?? 0) > 0;
  }

  /** Never throws: what the host refuses to let go of, it takes back when the process ends. */
  close(): void {
    for (const device of this.devices.reverse()) device.close();
    this.iommu?.close();
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
    this.iommu = undefined;
  }

  private openGroup(id: number, fd: number | undefined): VfioGroup {
    const group = VfioGroup.open(this.host, id, fd);
    try {
      group.requireViable();
      if (this.container === undefined) this.openContainer(group);
      else this.join(this.container, group);
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
    let setup: SpaprSetup | undefined;
    try {
      const type = IOMMU_TYPES.find((candidate) => container.checkExtension(candidate) > 0);
      group.setContainer(container);
      joined = true;
      const { host, ram, windows, counters, acceleration } = this;
      setup = new SpaprSetup(container, type, { host, ram, windows, counters, acceleration });
      setup.start(group.fd);
    } catch (error) {
      setup?.close();
      if (joined) group.unsetContainer();
      container.close();
      throw error;
    }
    this.container = container;
    this.iommu = setup;
  }

  private join(container: VfioContainer, group: VfioGroup): void {
    group.setContainer(container);
    this.iommu?.addGroup(group.fd);
  }
}
