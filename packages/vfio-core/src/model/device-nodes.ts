/**
 * The class device of every registered VFIO device: its number X, `vfio-dev/vfioX` in sysfs, and, where the kernel is
 * built for it, the node /dev/vfio/devices/vfioX.
 *
 * The lowest free number is given out; it is free again when the device is unregistered. Devices without an IOMMU have no
 * node. Source: vfio_init_device, vfio_device_add (drivers/vfio/vfio_main.c, vfio.h).
 */
import type { ModelKernel } from "@minivmm/host/model";
import type { VfioPciDevice } from "./device.ts";
import { VfioDeviceFile } from "./device-file.ts";

/** Dynamic on Linux, where it depends on the modules that came before. */
const MAJOR = 241;

/** Kernels whose VFIO devices are devices of a class of their own (since 6.1). */
const CLASS_DEVICES: ReadonlySet<string> = new Set(["6.12", "6.1"]);

interface Entry {
  readonly index: number;
  node: { remove(): void } | null;
}

export class DeviceNodes {
  readonly #kernel: ModelKernel;
  readonly #enabled: boolean;
  readonly #entries = new Map<VfioPciDevice, Entry>();

  /** `enabled`: CONFIG_VFIO_DEVICE_CDEV. */
  constructor(kernel: ModelKernel, enabled: boolean) {
    this.#kernel = kernel;
    this.#enabled = enabled;
  }

  add(device: VfioPciDevice): void {
    const taken = new Set([...this.#entries.values()].map(({ index }) => index));
    let index = 0;
    while (taken.has(index)) index++;
    const entry: Entry = { index, node: null };
    this.#entries.set(device, entry);
    const { sysfs, profile } = this.#kernel;
    if (!CLASS_DEVICES.has(profile)) return;
    const at = folder(device, index);
    sysfs.dir(at);
    sysfs.link(`${at}/device`, "../..");
    sysfs.link(`/sys/class/vfio-dev/vfio${index}`, at);
    if (!this.#enabled || device.group.type === "noiommu") return;
    sysfs.file(`${at}/dev`, { read: () => `${MAJOR}:${index}\n` });
    entry.node = this.#kernel.registerNode(`/dev/vfio/devices/vfio${index}`, () => new VfioDeviceFile(device, true));
  }

  /** Nobody can find the device any more; files that are open go on. */
  hide(device: VfioPciDevice): void {
    const entry = this.#entries.get(device);
    if (!entry) return;
    entry.node?.remove();
    entry.node = null;
    this.#kernel.sysfs.remove(`/sys/class/vfio-dev/vfio${entry.index}`);
    this.#kernel.sysfs.remove(folder(device, null));
  }

  remove(device: VfioPciDevice): void {
    this.hide(device);
    this.#entries.delete(device);
  }
}

/** Of one device, or of all class devices of the function. */
function folder({ name }: VfioPciDevice, index: number | null): string {
  const all = `/sys/bus/pci/devices/${name}/vfio-dev`;
  return index === null ? all : `${all}/vfio${index}`;
}
