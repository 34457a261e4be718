// What the host says of a passed-through function while the guest runs: that it wants it back (the REQ interrupt of VFIO,
// as when somebody unbinds it), and that it had an error nobody can recover from (ERR).
// Source: include/uapi/linux/vfio.h (VFIO_PCI_REQ_IRQ_INDEX, VFIO_PCI_ERR_IRQ_INDEX); QEMU 7.2 hw/vfio/pci.c.
// Invariant: descriptors are given back by close(); a function without such an interrupt is left alone.
import { EFD_CLOEXEC, EFD_NONBLOCK, type Host, type Watch } from "@minivmm/host";
import { VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX, type VfioDevice } from "@minivmm/vfio-core";

export interface HostRequestSinks {
  /** The host wants the function back. It repeats that until it has it. */
  wanted(): void;
  failed(): void;
}

/** Calls back when a descriptor is readable, from wherever the caller has its event loop. */
export type WatchDescriptor = (fd: number, onReadable: () => void) => Watch;

export class HostRequests {
  private readonly host: Host;
  private readonly device: VfioDevice;
  private readonly watch: WatchDescriptor;
  private readonly open: (() => void)[] = [];

  constructor(host: Host, device: VfioDevice, watch: WatchDescriptor, sinks: HostRequestSinks) {
    this.host = host;
    this.device = device;
    this.watch = watch;
    this.listen(VFIO_PCI_REQ_IRQ_INDEX, () => sinks.wanted());
    this.listen(VFIO_PCI_ERR_IRQ_INDEX, () => sinks.failed());
  }

  close(): void {
    for (const end of this.open.splice(0)) end();
  }

  private listen(index: number, callback: () => void): void {
    const { host, device } = this;
    if (irqCount(device, index) === 0) return;
    const fd = host.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return;
    try {
      device.setIrqs({ index, fds: [fd] });
    } catch {
      // A kernel that counts the interrupt but does not take an eventfd for it tells nothing.
      host.close(fd);
      return;
    }
    const counter = new Uint8Array(8);
    const watch = this.watch(fd, () => {
      if (host.read(fd, counter) > 0) callback();
    });
    this.open.push(() => {
      watch.close();
      device.disableIrqs(index);
      host.close(fd);
    });
  }
}

function irqCount(device: VfioDevice, index: number): number {
  try {
    return device.irq(index).count;
  } catch {
    return 0;
  }
}
