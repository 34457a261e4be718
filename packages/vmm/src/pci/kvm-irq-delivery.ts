// Interrupts of a passed-through function that KVM takes by itself: each vector's eventfd leads to a message route, the
// pin's to an input of the interrupt controller whose end of interrupt unmasks the device. This program is not woken.
// Where the device is on another host than KVM (a modelled one), each signal is handed from one eventfd to the other.
// Source: Documentation/virt/kvm/api.rst, KVM_IRQFD and KVM_SET_GSI_ROUTING; QEMU 7.2 hw/vfio/pci.c
// (vfio_add_kvm_msi_virq, vfio_intx_enable_kvm).
// Invariants: an eventfd is KVM's only while its vector is unmasked; what arrives in between stays in its counter and is
// delivered when KVM takes it again; routes are given back.
import { EFD_CLOEXEC, EFD_NONBLOCK, type Host } from "@minivmm/host";
import type { KvmVm } from "@minivmm/kvm";
import type { GsiRoutes } from "../machines/pc/gsi-routes.ts";
import type { IrqDelivery, IrqLine, MessageSource, PinLine } from "./irq-delivery.ts";

export interface KvmIrqDeliveryOptions {
  readonly vm: Pick<KvmVm, "assignIrqFd" | "deassignIrqFd">;
  readonly routes: GsiRoutes;
  /** Where KVM is. */
  readonly kvmHost: Host;
  /** Where the device is. */
  readonly deviceHost: Host;
  /** Input of the interrupt controller that the pin leads to. */
  readonly gsi: number | undefined;
  readonly problem: (message: string) => void;
}

const ONE = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);

export class KvmIrqDelivery implements IrqDelivery {
  private readonly options: KvmIrqDeliveryOptions;

  constructor(options: KvmIrqDeliveryOptions) {
    this.options = options;
  }

  vector(source: MessageSource, vector: number): IrqLine | undefined {
    const { vm, routes, problem } = this.options;
    const gsi = routes.allocate();
    if (gsi === undefined) {
      problem(`no message route for vector ${vector}: KVM has no more of them`);
      return undefined;
    }
    const event = this.event(`vector ${vector}`);
    if (event === undefined) {
      routes.free(gsi);
      return undefined;
    }
    let taken = false;
    const give = (): void => {
      if (taken) this.attempt(`give back vector ${vector}`, () => vm.deassignIrqFd({ fd: event.kernel, gsi }));
      taken = false;
    };
    return {
      fd: event.device,
      sync: () => {
        if (source.masked(vector)) {
          give();
          return;
        }
        routes.set(gsi, source.addressHi(vector), source.addressLo(vector), source.data(vector));
        this.attempt(`route vector ${vector}`, () => routes.commit());
        if (taken) return;
        taken = this.attempt(`connect vector ${vector}`, () => vm.assignIrqFd({ fd: event.kernel, gsi }));
      },
      collect: () => {
        if (!taken && event.drain()) source.raise(vector);
      },
      close: () => {
        give();
        event.close();
        routes.free(gsi);
      },
    };
  }

  pin(fired: () => void): PinLine | undefined {
    const { vm, gsi, kvmHost, deviceHost } = this.options;
    if (gsi === undefined || kvmHost !== deviceHost) return this.watchedPin(fired);
    const trigger = this.event("the pin");
    const unmask = trigger && this.event("unmasking the pin");
    if (trigger === undefined || unmask === undefined) {
      trigger?.close();
      return undefined;
    }
    const irqfd = { fd: trigger.kernel, gsi, resampleFd: unmask.kernel };
    const close = (): void => {
      this.attempt("give back the pin", () => vm.deassignIrqFd(irqfd));
      trigger.close();
      unmask.close();
    };
    if (this.attempt("connect the pin", () => vm.assignIrqFd(irqfd))) {
      return { fd: trigger.device, unmaskFd: unmask.device, close };
    }
    trigger.close();
    unmask.close();
    return undefined;
  }

  /** The end of interrupt on KVM's side is not seen by the device's host: accesses to the device stand for it. */
  private watchedPin(fired: () => void): PinLine | undefined {
    const { deviceHost } = this.options;
    const fd = this.eventfd(deviceHost, "the pin");
    if (fd < 0) return undefined;
    const counter = new Uint8Array(8);
    const watch = deviceHost.watch(fd, () => {
      deviceHost.read(fd, counter);
      fired();
    });
    return {
      fd,
      close: () => {
        watch.close();
        deviceHost.close(fd);
      },
    };
  }

  /** One event with a descriptor on either side, the same one where both are one host. */
  private event(what: string): Event | undefined {
    const { kvmHost, deviceHost } = this.options;
    const counter = new Uint8Array(8);
    const kernel = this.eventfd(kvmHost, what);
    if (kernel < 0) return undefined;
    const drain = (): boolean => kvmHost.read(kernel, counter) > 0;
    if (kvmHost === deviceHost) return { kernel, device: kernel, drain, close: () => kvmHost.close(kernel) };
    const device = this.eventfd(deviceHost, what);
    if (device < 0) {
      kvmHost.close(kernel);
      return undefined;
    }
    const watch = deviceHost.watch(device, () => {
      deviceHost.read(device, counter);
      kvmHost.write(kernel, ONE);
    });
    const close = (): void => {
      watch.close();
      deviceHost.close(device);
      kvmHost.close(kernel);
    };
    return { kernel, device, drain, close };
  }

  private eventfd(host: Host, what: string): number {
    const fd = host.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) this.options.problem(`no eventfd for ${what} (error ${fd})`);
    return fd;
  }

  private attempt(what: string, action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.options.problem(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }
}

interface Event {
  /** For KVM. */
  readonly kernel: number;
  /** For the device. */
  readonly device: number;
  /** Takes what has arrived while KVM did not have it. */
  drain(): boolean;
  close(): void;
}
