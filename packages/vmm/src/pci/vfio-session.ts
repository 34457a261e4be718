// The VFIO side of one VM: one container, the groups in it, its IOMMU set up once for the VM's memory, and the devices.
// What the IOMMU is and what follows from it is the setup's (spapr-setup.ts, type1-setup.ts).
// Source: the order of operations of QEMU 7.2 (hw/vfio/common.c vfio_get_group, vfio_connect_container): open group,
// VIABLE, container, API version, extensions 3, 1, 7, 2 in that order, SET_CONTAINER, SET_IOMMU and what follows from it,
// then devices.
// Invariant: everything that was opened is closed by close(), in reverse order.
import type { Host } from "@minivmm/host";
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

const IOMMU_TYPES = [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU];

/** The IOMMU of a container, for one VM. */
export interface IommuSetup {
  /** The first group is in the container. */
  start(groupFd: number): void;
  /** One more group has joined. */
  addGroup(groupFd: number): void;
  /** Leaves nothing in the host, and never throws. */
  close(): void;
}

/** `type` is the best that the container offers, undefined when it offers none. May throw. */
export type MakeIommuSetup<S extends IommuSetup> = (container: VfioContainer, type: number | undefined) => S;

/** What passes functions of the host to a VM, whichever way the kernel offers them. */
export interface DeviceSession {
  /** Opens a function of the host. Throws VfioError or VmmError PASSTHROUGH. */
  open(bdf: string, groupFd?: number): VfioDevice;
  /** Lets go of one that the host wants to have back; the others stay. Never throws. */
  giveBack(device: VfioDevice): void;
  /** Groups that are held, for a reset that needs to prove it. */
  readonly heldGroups: readonly VfioGroup[];
  close(): void;
}

export class VfioSession<S extends IommuSetup> implements DeviceSession {
  private readonly host: Host;
  private readonly containerFd: number | undefined;
  private readonly makeSetup: MakeIommuSetup<S>;
  private readonly groups = new Map<number, VfioGroup>();
  private readonly devices: VfioDevice[] = [];
  private container: VfioContainer | undefined;
  private setup: S | undefined;

  /** `containerFd`: a container that somebody with more rights opened; it stays theirs to close. */
  constructor(host: Host, containerFd: number | undefined, makeSetup: MakeIommuSetup<S>) {
    this.host = host;
    this.containerFd = containerFd;
    this.makeSetup = makeSetup;
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

  /** The group stays held, which keeps nobody from having its device. */
  giveBack(device: VfioDevice): void {
    device.close();
  }

  get groupCount(): number {
    return this.groups.size;
  }

  get heldGroups(): readonly VfioGroup[] {
    return [...this.groups.values()];
  }

  /** Undefined before the first group. */
  get iommu(): S | undefined {
    return this.setup;
  }

  /** VFIO_CHECK_EXTENSION of the container, 0 before there is one. */
  checkExtension(extension: number): number {
    return this.container?.checkExtension(extension) ?? 0;
  }

  /** Never throws: what the host refuses to let go of, it takes back when the process ends. */
  close(): void {
    for (const device of this.devices.reverse()) device.close();
    this.setup?.close();
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
    this.setup = undefined;
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
    let setup: S | undefined;
    try {
      const type = IOMMU_TYPES.find((candidate) => container.checkExtension(candidate) > 0);
      group.setContainer(container);
      joined = true;
      setup = this.makeSetup(container, type);
      setup.start(group.fd);
    } catch (error) {
      setup?.close();
      if (joined) group.unsetContainer();
      container.close();
      throw error;
    }
    this.container = container;
    this.setup = setup;
  }

  private join(container: VfioContainer, group: VfioGroup): void {
    group.setContainer(container);
    this.setup?.addGroup(group.fd);
  }
}
