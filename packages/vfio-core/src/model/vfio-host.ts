/** What a device needs of the VFIO core it is registered with: platform facts, other devices, further ioctls. */
import type { IoctlCall } from "@minivmm/host/model";
import type { PciFunction } from "@minivmm/pci";
import type { VfioIoctls } from "../uapi.ts";
import type { InterruptLines } from "./irq/lines.ts";
import type { Profile } from "./profile.ts";

/** An ioctl of vfio-pci devices that another package answers. Result or -errno; may throw KernelError. */
export type IoctlHandler<D> = (call: IoctlCall, device: D) => number;

/** `D`: the device, generic because it holds its host. */
export interface VfioHost<D> {
  readonly ioctls: VfioIoctls;
  readonly profile: Profile;
  readonly pageSize: number;
  readonly dynamicMsix: boolean;
  readonly multiMsi: boolean;
  /** Never use the functions' own INTx disable. */
  readonly nointxmask: boolean;
  readonly lines: InterruptLines;
  /** Does the IOMMU in front of a function turn no-snoop DMA into snooped DMA? */
  enforcesSnoop(fn: PciFunction): boolean;
  /** Devices have nodes of their own (CONFIG_VFIO_DEVICE_CDEV). */
  readonly deviceNodes: boolean;
  /** No BAR of another function, nor another BAR of this one, lies in [start, end) beyond the one that starts there. */
  aloneInPage(fn: PciFunction, start: number, end: number): boolean;
  /** After the last close: reset the bus if nobody on it is in use. */
  tryResetSet(device: D): void;
  /** A line for the kernel's log, as vfio-pci writes it about this function. */
  report(fn: PciFunction, line: string): void;
  deviceIoctl(request: number): IoctlHandler<D> | undefined;
}
