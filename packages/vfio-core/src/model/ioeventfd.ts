/**
 * VFIO_DEVICE_IOEVENTFD: an eventfd whose signal writes a fixed value to a BAR, without the user.
 *
 * Identified by (BAR, offset, size, data); fd -1 removes. Signals are consumed; while memory is off they do nothing.
 * One whose eventfd was closed stays in the list without effect.
 * Source: vfio_pci_ioctl_ioeventfd, vfio_pci_ioeventfd of vfio_pci_rdwr.c.
 */
import { EEXIST, EINVAL, ENODEV, ENOSPC } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import type { BarWidth } from "@minivmm/pci";
import { VFIO_DEVICE_IOEVENTFD_SIZE_MASK, VFIO_PCI_BAR5_REGION_INDEX, vfio_device_ioeventfd } from "../uapi.ts";
import type { HostBar } from "./config/bars.ts";
import { eventFdFile } from "./eventfd.ts";
import type { BarRegions } from "./regions.ts";
import { VirqFd } from "./virqfd.ts";

const MIN_SIZE = 28;
const MAX_IOEVENTFDS = 1000;
const INDEX_SHIFT = 40n;

interface IoEventFd {
  readonly index: number;
  readonly pos: number;
  readonly width: BarWidth;
  readonly data: bigint;
  readonly virqfd: VirqFd;
}

export interface IoEventFdDevice {
  readonly bars: readonly HostBar[];
  readonly regions: BarRegions;
  memoryAccessible(): boolean;
}

export class IoEventFds {
  readonly #device: IoEventFdDevice;
  #list: IoEventFd[] = [];

  constructor(device: IoEventFdDevice) {
    this.#device = device;
  }

  get count(): number {
    return this.#list.length;
  }

  ioctl(call: IoctlCall): number {
    const bytes = new Uint8Array(vfio_device_ioeventfd.size);
    bytes.set(call.arg.copyIn(MIN_SIZE));
    const request = vfio_device_ioeventfd.decode(bytes);
    if (request.argsz < MIN_SIZE || request.flags & ~VFIO_DEVICE_IOEVENTFD_SIZE_MASK) return -EINVAL;
    const width = request.flags as BarWidth;
    if (![1, 2, 4, 8].includes(width) || request.fd < -1) return -EINVAL;
    const index = Number(request.offset >> INDEX_SHIFT);
    const pos = Number(request.offset & ((1n << INDEX_SHIFT) - 1n));
    if (index > VFIO_PCI_BAR5_REGION_INDEX) return -EINVAL;
    if (pos + width > (this.#device.bars[index]?.size ?? 0)) return -EINVAL;
    if (this.#device.regions.touchesMsixTable(index, pos, width)) return -EINVAL;
    return this.#change(call, { index, pos, width, data: request.data }, request.fd);
  }

  /** Last close. */
  close(): void {
    for (const each of this.#list) each.virqfd.close();
    this.#list = [];
  }

  #change(call: IoctlCall, key: Omit<IoEventFd, "virqfd">, fd: number): number {
    const found = this.#list.find(
      (each) => each.index === key.index && each.pos === key.pos && each.width === key.width && each.data === key.data,
    );
    if (found) {
      if (fd !== -1) return -EEXIST;
      found.virqfd.close();
      this.#list = this.#list.filter((each) => each !== found);
      return 0;
    }
    if (fd === -1) return -ENODEV;
    if (this.#list.length >= MAX_IOEVENTFDS) return -ENOSPC;
    const file = eventFdFile(call.process, fd);
    const { index, pos, width, data } = key;
    const lo = Number(data & 0xffffffffn);
    const hi = Number(data >> 32n);
    const write = () => {
      if (this.#device.bars[index]?.kind === "io" || this.#device.memoryAccessible()) {
        this.#device.regions.store(index, pos, width, lo, hi);
      }
    };
    this.#list.push({ ...key, virqfd: new VirqFd(file, write) });
    return 0;
  }
}
