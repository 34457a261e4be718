// The guest's copy of a passed-through function: the registers that must not reach the device or that mean something
// else in the guest. It is a PciDevice, so sizing of BARs and the rules of MSI and MSI-X are those of every function.
// Source: what QEMU 7.2 emulates in hw/vfio/pci.c. Copied: BARs, ROM BAR (absent), MSI and MSI-X capabilities, the
// multifunction bit, and on a root bus the type and link of an Express endpoint; hidden: SR-IOV, ARI and resizable BAR,
// which make sense only to who owns the physical bus.
import { Msi, Msix } from "@minivmm/pci/capabilities";
import {
  type BarDescription,
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAPABILITY_LIST,
  PCI_CLASS_REVISION,
  PCI_DEVICE_ID,
  PCI_EXT_CAP_ID_ARI,
  PCI_EXT_CAP_ID_SRIOV,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MFD,
  PCI_INTERRUPT_PIN,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_MSIX_FLAGS,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
  PCI_ROM_ADDRESS,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_VENDOR_ID,
  PciDevice,
} from "@minivmm/pci/function";
import { showInRootComplex } from "./root-complex-view.ts";

/** The device as the host shows it. */
export interface HostFunction {
  readonly configSize: 256 | 4096;
  readConfig(offset: number, width: 1 | 2 | 4): number;
  /** Bytes of BAR `index`, 0 when it does not exist. */
  barSize(index: number): number;
}

export interface ShadowOptions {
  /** The guest has it on a PCI Express root bus, without a port above it. Default false. */
  readonly onRootComplex?: boolean;
}

const PCI_EXT_CAP_ID_REBAR = 0x15;
const HIDDEN_EXTENDED = new Set([PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_ID_ARI, PCI_EXT_CAP_ID_REBAR]);
const CAPABILITIES_MAX = 48;
const EXTENDED_MAX = 960;

export class ShadowFunction extends PciDevice {
  /** 1 for each byte of configuration space that is read from here. */
  readonly emulated: Uint8Array;

  constructor(host: HostFunction, { onRootComplex = false }: ShadowOptions = {}) {
    const read = (offset: number, width: 1 | 2 | 4): number => host.readConfig(offset, width);
    super({
      vendor: read(PCI_VENDOR_ID, 2),
      device: read(PCI_DEVICE_ID, 2),
      classCode: read(PCI_CLASS_REVISION, 4) >>> 8,
      interruptPin: read(PCI_INTERRUPT_PIN, 1),
      configSize: host.configSize,
    });
    this.emulated = new Uint8Array(host.configSize);
    this.emulated.fill(1, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_0 + 24);
    this.emulated.fill(1, PCI_ROM_ADDRESS, PCI_ROM_ADDRESS + 4);
    this.emulate(PCI_HEADER_TYPE, 1, read(PCI_HEADER_TYPE, 1) & ~PCI_HEADER_TYPE_MFD);
    for (const bar of readBars(host)) this.addBar(bar);
    this.copyMsi(host);
    this.copyMsix(host);
    this.hideExtended(host);
    const express = onRootComplex ? findHostCapability(host, PCI_CAP_ID_EXP) : 0;
    if (express !== 0)
      showInRootComplex(express, { read, emulate: (at, width, value) => this.emulate(at, width, value) });
  }

  /** Registers behind BARs are the device's; only the MSI-X table is ours, and its owner asks `msix` for it. */
  override readBar(_bar: number, _offset: number, _width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    out.fill(0);
  }

  override writeBar(): void {}

  protected override onReset(): void {}

  private emulate(offset: number, width: 1 | 2 | 4, value: number): void {
    this.config.poke(offset, width, value);
    this.emulated.fill(1, offset, offset + width);
  }

  private copyMsi(host: HostFunction): void {
    const at = findHostCapability(host, PCI_CAP_ID_MSI);
    if (at === 0) return;
    const flags = host.readConfig(at + PCI_MSI_FLAGS, 2);
    const address64 = (flags & PCI_MSI_FLAGS_64BIT) !== 0;
    const maskable = (flags & PCI_MSI_FLAGS_MASKBIT) !== 0;
    new Msi(this, { vectors: 2 ** Math.min((flags >> 1) & 7, 5), address64, maskable, at });
    this.emulated.fill(1, at + PCI_MSI_FLAGS, at + (address64 ? 14 : 10) + (maskable ? 10 : 0));
  }

  private copyMsix(host: HostFunction): void {
    const at = findHostCapability(host, PCI_CAP_ID_MSIX);
    if (at === 0) return;
    const table = host.readConfig(at + PCI_MSIX_TABLE, 4);
    const pba = host.readConfig(at + PCI_MSIX_PBA, 4);
    const vectors = (host.readConfig(at + PCI_MSIX_FLAGS, 2) & 0x7ff) + 1;
    // The pending bits may live in another BAR; the guest's copy keeps them beside the table only when the device does.
    const sameBar = (table & 7) === (pba & 7);
    new Msix(this, {
      vectors,
      bar: table & 7,
      table: (table & ~7) >>> 0,
      pba: sameBar ? (pba & ~7) >>> 0 : Number.MAX_SAFE_INTEGER,
      at,
    });
    this.config.poke(at + PCI_MSIX_PBA, 4, pba);
    this.emulated.fill(1, at + PCI_MSIX_FLAGS, at + 12);
  }

  /** Hidden capabilities keep their link and lose their id. */
  private hideExtended(host: HostFunction): void {
    if (host.configSize <= 256) return;
    let at = 0x100;
    for (let n = 0; at >= 0x100 && n < EXTENDED_MAX; n++) {
      const header = host.readConfig(at, 4);
      if (header === 0 || header === 0xffffffff) return;
      if (HIDDEN_EXTENDED.has(header & 0xffff)) {
        this.emulate(at, 2, 0);
      }
      at = (header >>> 20) & 0xffc;
    }
  }
}

function findHostCapability(host: HostFunction, id: number): number {
  if ((host.readConfig(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) === 0) return 0;
  let at = host.readConfig(PCI_CAPABILITY_LIST, 1) & ~3;
  for (let n = 0; at >= 0x40 && n < CAPABILITIES_MAX; n++) {
    if (host.readConfig(at, 1) === id) return at;
    at = host.readConfig(at + 1, 1) & ~3;
  }
  return 0;
}

function readBars(host: HostFunction): BarDescription[] {
  const bars: BarDescription[] = [];
  for (let index = 0; index < 6; index++) {
    const size = host.barSize(index);
    if (size === 0) continue;
    const low = host.readConfig(PCI_BASE_ADDRESS_0 + index * 4, 4);
    const io = (low & PCI_BASE_ADDRESS_SPACE_IO) !== 0;
    const mem64 = !io && (low & PCI_BASE_ADDRESS_MEM_TYPE_64) !== 0;
    const prefetchable = !io && (low & PCI_BASE_ADDRESS_MEM_PREFETCH) !== 0;
    bars.push({ index, size, type: io ? "io" : mem64 ? "mem64" : "mem32", prefetchable });
    if (mem64) index++;
  }
  return bars;
}
