/**
 * SR-IOV under vfio-pci: virtual functions of a physical function that user space drives.
 *
 * Only with the module parameter enable_sriov. Those that appear get driver_override "vfio-pci", so that no host driver
 * takes them, and are opened with the physical function's token. Unbinding the physical function removes them first.
 * Source: vfio_pci_core_sriov_configure, vfio_pci_bus_notifier, vfio_pci_vf_init.
 */
import { EINVAL } from "@minivmm/host";
import { disableSriov, enableSriov, type IovHost, type PciFunction, setPowerState } from "@minivmm/pci";
import type { VfioPciDevice } from "./device.ts";
import type { DeviceLocks } from "./drivers/device-lock.ts";
import type { VfToken } from "./vf-token.ts";

const VFIO_PCI = "vfio-pci";

export interface VfioSriovHost {
  readonly devices: ReadonlyMap<PciFunction, VfioPciDevice>;
  readonly drivers: IovHost & { readonly locks: DeviceLocks };
  report(fn: PciFunction, line: string): void;
}

export class VfioSriov {
  /** Physical functions whose virtual functions came about here. */
  readonly #configured = new Set<PciFunction>();
  readonly #host: VfioSriovHost;

  constructor(host: VfioSriovHost) {
    this.#host = host;
  }

  /** `count` virtual functions, or none: `count`, 0 or -errno. None may take until their users went. */
  configure(physfn: PciFunction, count: number): number {
    const { drivers } = this.#host;
    if (count === 0) {
      drivers.locks.hold(physfn);
      this.disable(physfn, () => drivers.locks.release(physfn));
      return 0;
    }
    if (this.#configured.has(physfn)) return -EINVAL;
    this.#configured.add(physfn);
    setPowerState(physfn, 0);
    const result = enableSriov(drivers, physfn, count);
    if (result === 0) return count;
    this.#configured.delete(physfn);
    return result;
  }

  /** All virtual functions go; `done` when they are gone. The caller has the lock of the physical function. */
  disable(physfn: PciFunction, done: () => void): void {
    disableSriov(this.#host.drivers, physfn, () => {
      this.#configured.delete(physfn);
      done();
    });
  }

  /** The token that opens a virtual function, null where none is asked for. */
  tokenOf(fn: PciFunction): VfToken | null {
    if (!fn.physfn || !this.#configured.has(fn.physfn)) return null;
    return this.#host.devices.get(fn.physfn)?.vfToken ?? null;
  }

  /** A virtual function appeared. */
  captured(virtfn: PciFunction): void {
    const { physfn } = virtfn;
    if (!physfn || !this.#host.devices.has(physfn)) return;
    this.#host.report(physfn, `Captured SR-IOV VF ${virtfn.name} driver_override`);
    virtfn.driverOverride = VFIO_PCI;
  }

  /** A driver has it. */
  bound(fn: PciFunction): void {
    const { physfn } = fn;
    if (!physfn || fn.driver === VFIO_PCI || !this.#host.devices.has(physfn)) return;
    this.#host.report(physfn, `VF ${fn.name} bound to driver ${fn.driver} while PF bound to driver ${VFIO_PCI}`);
  }
}
