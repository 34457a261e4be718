// A virtio console in its transitional PCI form (Virtio 1.2 sections 4.1 and 5.3) as far as a host sees it whose own
// driver has it: identity, the five vendor capabilities that say where the structures are, MSI-X. The structures
// themselves are memory: no queue is ever served.
import type { BarWidth } from "../../bar.ts";
import { Msix } from "../../caps/msix.ts";
import { PciDevice } from "../../device.ts";
import { PCI_CAP_ID_VNDR } from "../../registers.ts";

const IO_SIZE = 0x40;
const MSIX_SIZE = 0x1000;
const MSIX_PBA = 0x800;
const MODERN_BAR = 4;
const MODERN_SIZE = 0x4000;
const REGION_SIZE = 0x1000;
const NOTIFY_MULTIPLIER = 4;
const VECTORS = 2;

const VIRTIO_PCI_CAP_COMMON_CFG = 1;
const VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
const VIRTIO_PCI_CAP_ISR_CFG = 3;
const VIRTIO_PCI_CAP_DEVICE_CFG = 4;
const VIRTIO_PCI_CAP_PCI_CFG = 5;

export class VirtioSerial extends PciDevice {
  readonly #modern = new Uint8Array(MODERN_SIZE);

  constructor() {
    super({
      vendor: 0x1af4,
      device: 0x1003,
      classCode: 0x078000,
      subsystemVendor: 0x1af4,
      subsystem: 0x0003,
      interruptPin: 1,
    });
    this.addBar({ index: 0, type: "io", size: IO_SIZE, prefetchable: false });
    this.addBar({ index: 1, type: "mem32", size: MSIX_SIZE, prefetchable: false });
    this.addBar({ index: MODERN_BAR, type: "mem64", size: MODERN_SIZE, prefetchable: true });
    new Msix(this, { vectors: VECTORS, bar: 1, table: 0, pba: MSIX_PBA, at: 0x98 });
    this.#structure(VIRTIO_PCI_CAP_PCI_CFG, 0x84, 0x14);
    const notify = this.#structure(VIRTIO_PCI_CAP_NOTIFY_CFG, 0x70, 0x14, 3);
    this.config.define(notify + 16, 4, { value: NOTIFY_MULTIPLIER });
    this.#structure(VIRTIO_PCI_CAP_DEVICE_CFG, 0x60, 0x10, 2);
    this.#structure(VIRTIO_PCI_CAP_ISR_CFG, 0x50, 0x10, 1);
    this.#structure(VIRTIO_PCI_CAP_COMMON_CFG, 0x40, 0x10, 0);
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    if (this.msix?.owns(bar, offset)) {
      this.msix.read(offset, width, out);
      return;
    }
    out[0] = 0;
    out[1] = 0;
    if (bar !== MODERN_BAR) return;
    for (let i = 0; i < width; i++) out[i >> 2]! |= (this.#modern[offset + i] ?? 0) << ((i & 3) * 8);
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (this.msix?.owns(bar, offset)) this.msix.write(offset, width, lo, hi);
    else if (bar === MODERN_BAR) {
      for (let i = 0; i < width && offset + i < MODERN_SIZE; i++) {
        this.#modern[offset + i] = (i < 4 ? lo : hi) >>> ((i & 3) * 8);
      }
    }
  }

  protected onReset(): void {
    this.#modern.fill(0);
  }

  /** `struct virtio_pci_cap`; without a region it is the window that accesses through configuration space use. */
  #structure(type: number, at: number, length: number, region?: number): number {
    const { config } = this;
    const offset = config.addCapability(PCI_CAP_ID_VNDR, length, at);
    config.define(offset + 2, 1, { value: length });
    config.define(offset + 3, 1, { value: type });
    if (region === undefined) {
      config.define(offset + 4, 1, { write: 0xff });
      config.define(offset + 8, 4, { write: 0xffff_ffff });
      config.define(offset + 12, 4, { write: 0xffff_ffff });
      return offset;
    }
    config.define(offset + 4, 1, { value: MODERN_BAR });
    config.define(offset + 8, 4, { value: region * REGION_SIZE });
    config.define(offset + 12, 4, { value: REGION_SIZE });
    return offset;
  }
}
