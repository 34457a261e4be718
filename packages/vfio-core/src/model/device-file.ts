/**
 * The file that GET_DEVICE_FD returns, or that the open of a device's own node makes: dispatch of a vfio-pci device's ioctls, reads, writes and mappings.
 *
 * Offsets carry the region index in bits 40 and up. Every use wakes a device from low power. pread and pwrite are a
 * VMM's MMIO path and allocate nothing. Source: vfio_main.c (vfio_device_fops_unl_ioctl), vfio_pci_core.c.
 */
import { EINVAL, ENOTTY, type Mapping } from "@minivmm/host";
import type { FileOps, IoctlCall, MmapCall, ModelProcess, OpenFile } from "@minivmm/host/model";
import {
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_OFFSET_SIZE,
  VFIO_PCI_ROM_REGION_INDEX,
} from "../uapi.ts";
import { mapRegion } from "./bar-mapping.ts";
import { attachPageTable, bindIommufd, detachPageTable, unbindIommufd } from "./cdev.ts";
import type { VfioPciDevice } from "./device.ts";
import { deviceFeature } from "./feature.ts";
import type { KvmReference } from "./group.ts";
import { getDeviceInfo, getIrqInfo, getRegionInfo } from "./info.ts";
import { readIrqRequest } from "./irq/set-irqs.ts";
import { checkVga, readVga, writeVga } from "./vga-region.ts";

export class VfioDeviceFile implements FileOps {
  readonly kind = "vfio-device";
  readonly device: VfioPciDevice;
  /** A virtual machine that this file, rather than the group, was given to. */
  kvm: KvmReference | null = null;
  /** The user may use the device: opened through its group, or bound to an iommufd. */
  granted = false;
  readonly byNode: boolean;

  /** `byNode`: a file of the device's own node, not yet bound. */
  constructor(device: VfioPciDevice, byNode = false) {
    this.device = device;
    this.byNode = byNode;
    if (byNode) device.nodeFiles++;
  }

  /** Throws KernelError; the file is then dead and its release does nothing. */
  open(process: ModelProcess): void {
    this.device.open(process);
    this.granted = true;
  }

  ioctl(call: IoctlCall): number {
    const { device } = this;
    const { ioctls, deviceNodes } = device.host;
    if (deviceNodes && call.request === ioctls.VFIO_DEVICE_BIND_IOMMUFD) return bindIommufd(this, call);
    if (!this.granted) return -EINVAL;
    device.state.lowPower.resume();
    if (this.byNode) {
      if (call.request === ioctls.VFIO_DEVICE_ATTACH_IOMMUFD_PT) return attachPageTable(this, call);
      if (call.request === ioctls.VFIO_DEVICE_DETACH_IOMMUFD_PT) return detachPageTable(this, call);
    }
    switch (call.request) {
      case ioctls.VFIO_DEVICE_FEATURE:
        return deviceFeature(device, call);
      case ioctls.VFIO_DEVICE_GET_INFO:
        return getDeviceInfo(device, call.arg);
      case ioctls.VFIO_DEVICE_GET_REGION_INFO:
        return getRegionInfo(device, call.arg);
      case ioctls.VFIO_DEVICE_GET_IRQ_INFO:
        return getIrqInfo(device, call.arg);
      case ioctls.VFIO_DEVICE_SET_IRQS:
        return this.#setIrqs(call);
      case ioctls.VFIO_DEVICE_RESET:
        return device.reset();
      case ioctls.VFIO_DEVICE_IOEVENTFD:
        return device.state.ioeventfds.ioctl(call);
      default:
        return device.host.deviceIoctl(call.request)?.(call, device) ?? -ENOTTY;
    }
  }

  pread(into: Uint8Array, offset: number): number {
    if (!this.granted) return -EINVAL;
    if (into.length === 0) return 0;
    const index = Math.floor(offset / VFIO_PCI_OFFSET_SIZE);
    if (index >= VFIO_PCI_NUM_REGIONS) return -EINVAL;
    const { state } = this.device;
    state.lowPower.resume();
    const at = offset - index * VFIO_PCI_OFFSET_SIZE;
    if (index <= VFIO_PCI_ROM_REGION_INDEX) return state.regions.read(index, into, at);
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return state.config.read(into, at);
    return this.device.display ? readVga(this.device.display, into, at) : -EINVAL;
  }

  pwrite(from: Uint8Array, offset: number): number {
    if (!this.granted) return -EINVAL;
    if (from.length === 0) return 0;
    const index = Math.floor(offset / VFIO_PCI_OFFSET_SIZE);
    if (index >= VFIO_PCI_NUM_REGIONS) return -EINVAL;
    const { state } = this.device;
    state.lowPower.resume();
    const at = offset - index * VFIO_PCI_OFFSET_SIZE;
    if (index <= VFIO_PCI_ROM_REGION_INDEX) return state.regions.write(index, from, at);
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return state.config.write(from, at);
    return this.device.display ? writeVga(this.device.display, from, at) : -EINVAL;
  }

  checkWrite(size: number, offset: number): number {
    if (size === 0) return 0;
    const index = Math.floor(offset / VFIO_PCI_OFFSET_SIZE);
    const { state } = this.device;
    const at = offset - index * VFIO_PCI_OFFSET_SIZE;
    if (index <= VFIO_PCI_ROM_REGION_INDEX) return state.regions.checkWrite(index, size, at);
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return state.config.check(at, size);
    return this.device.display ? checkVga(size, at) : -EINVAL;
  }

  /** Plain read and write start at BAR 0 and move on; they exist, though nobody should want them. */
  read(into: Uint8Array, file: OpenFile): number {
    const count = this.pread(into, file.position);
    if (count > 0) file.position += count;
    return count;
  }

  write(from: Uint8Array, file: OpenFile): number {
    const count = this.pwrite(from, file.position);
    if (count > 0) file.position += count;
    return count;
  }

  mmap(call: MmapCall): Mapping | number {
    const { device } = this;
    if (!this.granted) return -EINVAL;
    return mapRegion(device, VFIO_PCI_NUM_REGIONS, call);
  }

  poll(): boolean {
    return true;
  }

  release(): void {
    const { device } = this;
    if (this.byNode) {
      unbindIommufd(this);
      device.nodeFiles--;
      device.leave();
    } else if (this.granted) {
      this.granted = false;
      device.close();
    }
  }

  #setIrqs(call: IoctlCall): number {
    const { device } = this;
    const request = readIrqRequest(call, (index) => device.irqCount(index));
    return typeof request === "number" ? request : device.state.irqs.apply(request);
  }
}
