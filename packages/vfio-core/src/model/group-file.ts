/**
 * The file behind /dev/vfio/N: status, container, device descriptors. The order of checks is the kernel's.
 *
 * Source: vfio_group_fops_unl_ioctl and callees in drivers/vfio/group.c (6.12, with the differences of 6.1).
 */
import { EBADF, EBADFD, EBUSY, EFAULT, EINVAL, EMFILE, ENODEV, ENOTTY, EPERM, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import {
  type FileOps,
  type IoctlCall,
  KernelError,
  type ModelProcess,
  OpenFile,
  type UserArg,
} from "@minivmm/host/model";
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  type VfioIoctls,
  vfio_group_status,
} from "../uapi.ts";
import { VfioContainer } from "./container.ts";
import type { VfioPciDevice } from "./device.ts";
import { VfioDeviceFile } from "./device-file.ts";
import { matchDevice } from "./device-name.ts";
import type { VfioGroup } from "./group.ts";
import { createCompatIoas, iommufdOf, setNoiommu } from "./iommufd/index.ts";
import type { Profile } from "./profile.ts";

export interface GroupContext {
  readonly ioctls: VfioIoctls;
  readonly profile: Profile;
}

export class VfioGroupFile implements FileOps {
  readonly kind = "vfio-group";
  readonly group: VfioGroup<VfioPciDevice>;
  readonly #context: GroupContext;

  private constructor(group: VfioGroup<VfioPciDevice>, context: GroupContext) {
    this.group = group;
    this.#context = context;
  }

  /** open(2) of the node: a second one, by whomever, is EBUSY. */
  static open(group: VfioGroup<VfioPciDevice>, context: GroupContext, process: ModelProcess): VfioGroupFile | number {
    if (group.devices.length === 0) return -ENODEV;
    if (group.type === "noiommu" && !process.has("SYS_RAWIO")) return -EPERM;
    if (group.boundByNode > 0) return -EBUSY;
    // An external user may keep a group attached whose file is gone.
    if (group.opened || group.container) return -EBUSY;
    group.opened = true;
    return new VfioGroupFile(group, context);
  }

  ioctl(call: IoctlCall): number {
    const { ioctls } = this.#context;
    switch (call.request) {
      case ioctls.VFIO_GROUP_GET_STATUS:
        return this.#status(call.arg);
      case ioctls.VFIO_GROUP_SET_CONTAINER:
        return this.#setContainer(call);
      case ioctls.VFIO_GROUP_UNSET_CONTAINER:
        return this.#unsetContainer();
      case ioctls.VFIO_GROUP_GET_DEVICE_FD:
        return this.#deviceFd(call);
      default:
        return -ENOTTY;
    }
  }

  pread(): number {
    return -EINVAL;
  }
  pwrite(): number {
    return -EINVAL;
  }

  release(): void {
    const { group } = this;
    group.opened = false;
    group.openedFile = null;
    group.putUser();
    group.leaveIommufd();
  }

  #status(arg: UserArg): number {
    const { argsz } = vfio_group_status.decode(arg.copyIn(vfio_group_status.size));
    if (argsz < vfio_group_status.size) return -EINVAL;
    if (this.group.devices.length === 0) return -ENODEV;
    const { attached, iommufd, viable } = this.group;
    // An iommufd takes the DMA only with the first device, so viability is promised and may not be kept.
    const flags = (attached ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0) | (viable || iommufd ? VFIO_GROUP_FLAGS_VIABLE : 0);
    arg.copyOut(vfio_group_status.encode({ argsz, flags }));
    return 0;
  }

  #setContainer(call: IoctlCall): number {
    const { group } = this;
    const fd = new DataView(call.arg.copyIn(4).buffer).getInt32(0, true);
    // Kernels before 5.18 looked at these before they looked the descriptor up.
    const withoutRight = group.type === "noiommu" && !call.process.has("SYS_RAWIO");
    if (this.#context.profile.externalUsers) {
      if (fd < 0 || group.container) return -EINVAL;
      if (withoutRight) return -EPERM;
    }
    const file = call.process.fileOf(fd);
    if (!file) return -EBADF;
    if (group.attached) return -EINVAL;
    if (group.devices.length === 0) return -ENODEV;
    const container = file.ops;
    if (!(container instanceof VfioContainer)) return this.#setIommufd(file);
    if (withoutRight) return -EPERM;
    if (container.groups.length > 0 && container.noiommu !== (group.type === "noiommu")) return -EPERM;
    // Kernels before 5.18 looked at this only when the group was used.
    if (!group.claimDma() && !this.#context.profile.externalUsers) return -EPERM;
    try {
      container.attach(group);
    } catch (error) {
      group.releaseDma();
      throw error;
    }
    group.container = container;
    group.containerUsers = 1;
    return 0;
  }

  /** The container is an iommufd: it gets an address space for the group, or learns that it needs none. */
  #setIommufd(file: OpenFile): number {
    const { group } = this;
    const iommufd = iommufdOf(file);
    if (!iommufd) return this.#context.profile.containerType ? -EBADFD : -EINVAL;
    if (group.type === "noiommu") setNoiommu(iommufd);
    else createCompatIoas(iommufd);
    group.iommufd = file.get();
    return 0;
  }

  #unsetContainer(): number {
    const { group } = this;
    if (!group.attached) return -EINVAL;
    if (group.container) {
      if (group.containerUsers !== 1) return -EBUSY;
      group.detachContainer();
    }
    group.leaveIommufd();
    return 0;
  }

  #deviceFd(call: IoctlCall): number {
    const { group } = this;
    const usable = group.container?.instance && group.viable;
    if (this.#context.profile.externalUsers && !usable) return -EINVAL;
    group.openedFile = call.file;
    const device = this.#find(readString(call.arg, call.process.pageSize));
    // The descriptor comes before the device: a full table is noticed first, and then nothing was touched.
    const ops = new VfioDeviceFile(device);
    const file = new OpenFile(ops, O_RDWR | O_CLOEXEC);
    const fd = call.process.install(file);
    if (fd < 0) return -EMFILE;
    try {
      ops.open(call.process);
    } catch (error) {
      call.process.close(fd);
      throw error;
    }
    if (group.type === "noiommu") {
      call.process.kernel.log.push(`vfio-pci ${device.name}: vfio-noiommu device opened by user`);
    }
    return fd;
  }

  #find(name: string): VfioPciDevice {
    for (const device of this.group.devices) {
      if (device.removing && this.#context.profile.delistsEarly) continue;
      if (matchDevice(device, name)) return device;
    }
    throw new KernelError(ENODEV, `group ${this.group.id} has no VFIO device "${name}"`);
  }
}

/** strndup_user: up to a NUL, which must come within `limit` bytes. */
function readString(arg: UserArg, limit: number): string {
  let text = "";
  for (let i = 0; i < limit; i++) {
    const byte = arg.copyIn(1, i)[0] as number;
    if (byte === 0) return text;
    text += String.fromCharCode(byte);
  }
  throw new KernelError(limit > 0 ? EINVAL : EFAULT, "the device name is longer than a page");
}
