/**
 * mmap of BARs: which may be mapped, and what an access through a mapping does.
 *
 * mmap itself succeeds with memory disabled; touching then is SIGBUS, which the model throws as VfioError SIGBUS. The
 * MSI-X table's page may be mapped and shows the real table. Source: vfio_pci_probe_mmaps, vfio_pci_core_mmap.
 */
import { EINVAL, MAP_SHARED, type Mapping } from "@minivmm/host";
import { type DeviceMemory, type MmapCall, mapDevice } from "@minivmm/host/model";
import { VfioError } from "../error.ts";
import { VFIO_PCI_OFFSET_SIZE, VFIO_PCI_ROM_REGION_INDEX } from "../uapi.ts";
import type { HostBar } from "./config/bars.ts";
import type { BarRegions } from "./regions.ts";

export interface MappableDevice {
  readonly name: string;
  readonly bars: readonly HostBar[];
  readonly regions: BarRegions;
  readonly pageSize: number;
  readonly mappable: readonly boolean[];
  /** Memory enabled, not in D3hot, not in low power: a touch reaches the device. */
  mappingAccessible(): boolean;
}

/**
 * May BAR `bar` be mapped? Memory of at least a page, or a smaller one that starts a page which nothing else lies in
 * (`alone` answers that).
 */
export function isMappable(bar: HostBar, pageSize: number, alone: (start: number, end: number) => boolean): boolean {
  if (bar.kind === "io" || bar.size === 0 || bar.start === 0) return false;
  if (bar.size >= pageSize) return true;
  return bar.start % pageSize === 0 && alone(bar.start, bar.start + pageSize);
}

export function mapRegion(device: MappableDevice, regionCount: number, call: MmapCall): Mapping | number {
  const index = Math.floor(call.offset / VFIO_PCI_OFFSET_SIZE);
  const from = call.offset - index * VFIO_PCI_OFFSET_SIZE;
  if (index >= regionCount || !(call.flags & MAP_SHARED)) return -EINVAL;
  if (index >= VFIO_PCI_ROM_REGION_INDEX || !device.mappable[index]) return -EINVAL;
  const bar = device.bars[index] as HostBar;
  const size = Math.ceil(bar.size / device.pageSize) * device.pageSize;
  if (from + call.length > size) return -EINVAL;
  return mapDevice(call, new BarMemory(device, index, from, bar));
}

class BarMemory implements DeviceMemory {
  readonly physical: number;
  readonly #device: MappableDevice;
  readonly #index: number;
  readonly #from: number;
  readonly #size: number;
  readonly #out = new Uint32Array(2);

  constructor(device: MappableDevice, index: number, from: number, bar: HostBar) {
    this.physical = bar.start + from;
    this.#device = device;
    this.#index = index;
    this.#from = from;
    this.#size = bar.size;
  }

  load(offset: number, width: 1 | 2 | 4): number {
    this.#touch();
    const at = this.#from + offset;
    // The rest of the page behind a small BAR answers like empty bus.
    if (at + width > this.#size) return width === 4 ? 0xffffffff : width === 2 ? 0xffff : 0xff;
    this.#device.regions.access(this.#index, at, width, this.#out);
    return this.#out[0] as number;
  }

  store(offset: number, width: 1 | 2 | 4, value: number): void {
    this.#touch();
    const at = this.#from + offset;
    if (at + width <= this.#size) this.#device.regions.store(this.#index, at, width, value >>> 0, 0);
  }

  /** Asked by who pins the range: without an answer to touches there is nothing to pin. */
  accessible(): boolean {
    return this.#device.mappingAccessible();
  }

  #touch(): void {
    if (this.accessible()) return;
    throw new VfioError(`SIGBUS: BAR ${this.#index} of ${this.#device.name} was touched while it does not decode`, {
      code: "SIGBUS",
      details: { device: this.#device.name, bar: this.#index },
      hint: "Enable memory in the COMMAND register, bring the device to D0 and leave low power before touching a mapping.",
    });
  }
}
