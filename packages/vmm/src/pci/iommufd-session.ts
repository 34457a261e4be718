// The modern way to a VM's devices: each through a node of its own, bound to one iommufd, attached to one address space in
// which all RAM is mapped at the addresses that the guest knows it by.
// Source: Documentation/userspace-api/iommufd.rst; QEMU's hw/vfio/iommufd.c for the order.
// Order: address space with RAM, device node, KVM, bind, attach (iommufd-tables.ts). Invariant: everything that was opened is closed by
// close(), in reverse order; descriptors that were passed in stay open, but for that of a device which the host wants back.
import type { Host } from "@minivmm/host";
import { type Ioas, Iommufd, requireVfioDriver, VfioCdev, type VfioDevice, type VfioGroup } from "@minivmm/vfio-core";
import type { PcRam } from "../machines/pc/ram.ts";
import { IommufdTables } from "./iommufd-tables.ts";
import type { KvmGroups } from "./kvm-groups.ts";
import type { DeviceSession } from "./vfio-session.ts";

export interface IommufdSessionOptions {
  readonly host: Host;
  readonly ram: PcRam;
  /** An open /dev/iommu that was passed in. */
  readonly fd?: number | undefined;
  /** Absent where KVM is on another host. */
  readonly kvm?: KvmGroups | undefined;
}

interface Opened {
  readonly device: VfioCdev;
  readonly passedIn: boolean;
}

export class IommufdSession implements DeviceSession {
  /** Devices are owned by the iommufd, not by groups. */
  readonly heldGroups: readonly VfioGroup[] = [];
  private readonly options: IommufdSessionOptions;
  private readonly devices: Opened[] = [];
  private iommufd: Iommufd | undefined;
  private space: Ioas | undefined;
  private tables: IommufdTables | undefined;

  constructor(options: IommufdSessionOptions) {
    this.options = options;
  }

  /** As IommufdTables has it; null before the first device. */
  get enforcesSnoop(): boolean | null {
    return this.tables?.enforcesSnoop ?? null;
  }

  /** `deviceFd`: an open descriptor of the device's node. Throws VfioError. */
  open(bdf: string, deviceFd?: number): VfioDevice {
    const { host, kvm } = this.options;
    if (deviceFd === undefined) requireVfioDriver(host, bdf);
    const { iommufd, tables } = this.addressSpace();
    const device = deviceFd === undefined ? VfioCdev.open(host, bdf) : VfioCdev.wrap(host, deviceFd, bdf);
    try {
      kvm?.add(device.fd);
      device.bind(iommufd);
      tables.attach(device);
    } catch (error) {
      kvm?.remove(device.fd);
      device.close();
      throw error;
    }
    this.devices.push({ device, passedIn: deviceFd !== undefined });
    return device;
  }

  /** Whoever unbinds it waits for the last file of it to be closed, be it KVM's or one that was passed in. */
  giveBack(given: VfioDevice): void {
    const index = this.devices.findIndex(({ device }) => device === given);
    if (index < 0) return;
    for (const { device, passedIn } of this.devices.splice(index, 1)) {
      this.letGo(device);
      if (passedIn) this.options.host.close(device.fd);
    }
  }

  close(): void {
    for (const { device } of this.devices.splice(0).reverse()) this.letGo(device);
    this.tables?.close();
    this.space?.[Symbol.dispose]();
    this.iommufd?.close();
    this.tables = undefined;
    this.space = undefined;
    this.iommufd = undefined;
  }

  private letGo(device: VfioCdev): void {
    this.tables?.forget(device);
    this.options.kvm?.remove(device.fd);
    try {
      device.detach();
    } catch {
      // It is detached when its descriptor is closed.
    }
    device.close();
  }

  private addressSpace(): { iommufd: Iommufd; tables: IommufdTables } {
    if (this.iommufd !== undefined && this.tables !== undefined) return { iommufd: this.iommufd, tables: this.tables };
    const { host, fd, ram } = this.options;
    const iommufd = Iommufd.open(host, fd);
    try {
      const space = iommufd.allocIoas();
      for (const { start, memory } of ram.pieces) space.map({ iova: BigInt(start), memory: memory.u8 });
      this.iommufd = iommufd;
      this.space = space;
      this.tables = new IommufdTables(iommufd, space);
      return { iommufd, tables: this.tables };
    } catch (error) {
      iommufd.close();
      throw error;
    }
  }
}
