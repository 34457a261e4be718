/** A VFIO group as a user holds it: viability, its container, and the way to its devices. */
import { EBUSY, type Host, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { VfioError } from "../error.ts";
import { VFIO_GROUP_FLAGS_CONTAINER_SET, VFIO_GROUP_FLAGS_VIABLE, vfio_group_status } from "../uapi.ts";
import type { VfioContainer } from "./container.ts";
import { VfioDevice } from "./device.ts";
import { deviceRefused, groupNotViable, groupOpenRefused, setContainerRefused } from "./group-refusals.ts";
import { ioctlsOf } from "./ioctl.ts";
import { refused } from "./refusals.ts";
import { fullBdf, groupNode } from "./sysfs.ts";

export interface GroupStatus {
  /** No member is bound to a host driver. */
  readonly viable: boolean;
  readonly containerSet: boolean;
}

export class VfioGroup implements Disposable {
  readonly host: Host;
  readonly id: number;
  readonly fd: number;
  readonly #owned: boolean;
  #open = true;

  private constructor(host: Host, id: number, fd: number, owned: boolean) {
    this.host = host;
    this.id = id;
    this.fd = fd;
    this.#owned = owned;
  }

  /**
   * Opens /dev/vfio/N (or noiommu-N, where no IOMMU is behind it), or wraps a descriptor of it that was passed in; that one stays open at close().
   * Throws VfioError NO_GROUP_NODE, GROUP_BUSY, PERMISSION.
   */
  static open(host: Host, groupId: number, fd?: number): VfioGroup {
    const own = fd ?? host.open(groupNode(host, groupId), O_RDWR | O_CLOEXEC);
    if (own < 0) throw groupOpenRefused(host, groupId, own);
    return new VfioGroup(host, groupId, own, fd === undefined);
  }

  /** VFIO_GROUP_GET_STATUS. Throws VfioError REFUSED (ENODEV: the last device was unbound). */
  status(): GroupStatus {
    const arg = vfio_group_status.encode({ argsz: vfio_group_status.size });
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_GROUP_GET_STATUS, arg);
    if (result < 0) throw refused(`the status of IOMMU group ${this.id} is not available`, result, { group: this.id });
    const { flags } = vfio_group_status.decode(arg);
    return {
      viable: (flags & VFIO_GROUP_FLAGS_VIABLE) !== 0,
      containerSet: (flags & VFIO_GROUP_FLAGS_CONTAINER_SET) !== 0,
    };
  }

  /** Throws VfioError GROUP_NOT_VIABLE, naming the members in the way, unless the group may be used. */
  requireViable(): void {
    if (!this.status().viable) throw groupNotViable(this.host, this.id);
  }

  /** VFIO_GROUP_SET_CONTAINER. Throws VfioError GROUP_NOT_VIABLE, GROUP_ATTACHED, UNSAFE_INTERRUPTS, FIRMWARE_MAPPING, REFUSED. */
  setContainer(container: VfioContainer): void {
    const arg = new Uint8Array(new Int32Array([container.fd]).buffer);
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_GROUP_SET_CONTAINER, arg);
    if (result < 0) throw setContainerRefused(this.host, this.id, this.status(), result);
  }

  /** VFIO_GROUP_UNSET_CONTAINER. Throws VfioError DEVICES_OPEN, REFUSED. */
  unsetContainer(): void {
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_GROUP_UNSET_CONTAINER);
    if (result === -EBUSY) {
      throw new VfioError(`IOMMU group ${this.id} cannot leave its container: a device of it is open`, {
        code: "DEVICES_OPEN",
        errno: EBUSY,
        details: { group: this.id },
        hint: "Close its devices and unmap their BARs first; a mapping keeps a device open.",
      });
    }
    if (result < 0) throw refused(`IOMMU group ${this.id} cannot leave its container`, result, { group: this.id });
  }

  /**
   * VFIO_GROUP_GET_DEVICE_FD. `bdf` is `0000:01:00.0`, or without the domain, optionally followed by options of the
   * driver (" vf_token=..."). Throws VfioError DEVICE_NOT_IN_GROUP, NO_IOMMU_TYPE, VF_TOKEN, REFUSED.
   */
  device(bdf: string): VfioDevice {
    const name = fullBdf(bdf);
    const arg = new TextEncoder().encode(`${name}\0`);
    const fd = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_GROUP_GET_DEVICE_FD, arg);
    if (fd < 0) throw deviceRefused(this.host, this.id, name, fd);
    return new VfioDevice(this.host, fd, name);
  }

  close(): void {
    if (this.#open && this.#owned) this.host.close(this.fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
