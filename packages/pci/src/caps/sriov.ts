// The SR-IOV capability of a physical function (PCI Express Base 4.0 chapter 9.3.3): how many virtual functions there
// are, where their routing ids lie, and one set of BARs that all of them share, one aperture after the other.
// Invariants: virtual functions exist from the write that sets VF Enable until it is cleared or the physical function is
// reset, and each starts from power-on state; NumVFs does not change meanwhile; an aperture is no smaller than the
// system page size.
import type { BarDescription } from "../bar.ts";
import type { ConfigSpace, ResetKind } from "../config-space.ts";
import {
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_EXT_CAP_ID_SRIOV,
  PCI_SRIOV_BAR,
  PCI_SRIOV_CTRL,
  PCI_SRIOV_CTRL_ARI,
  PCI_SRIOV_CTRL_MSE,
  PCI_SRIOV_CTRL_VFE,
  PCI_SRIOV_FUNC_LINK,
  PCI_SRIOV_INITIAL_VF,
  PCI_SRIOV_NUM_VF,
  PCI_SRIOV_SUP_PGSIZE,
  PCI_SRIOV_SYS_PGSIZE,
  PCI_SRIOV_TOTAL_VF,
  PCI_SRIOV_VF_DID,
  PCI_SRIOV_VF_OFFSET,
  PCI_SRIOV_VF_STRIDE,
} from "../registers.ts";

const LENGTH = 0x40;
/** 4, 8, 64, 256 KiB, 1 and 4 MiB: those that every function must support. */
const PAGE_SIZES = 0x553;

export interface SriovOptions<D extends VirtualHardware = VirtualHardware> {
  readonly totalVfs: number;
  /** Default: all of them. */
  readonly initialVfs?: number;
  readonly vfDevice: number;
  /** Routing id of the first virtual function, counted from the physical one. */
  readonly vfOffset: number;
  /** From one virtual function to the next. */
  readonly vfStride: number;
  /** BARs of one virtual function: memory, at least 4 KiB. */
  readonly bars?: readonly BarDescription[];
  /** Bit n: pages of 4096 << n bytes. Default 0x553. */
  readonly pageSizes?: number;
  /** Hardware of virtual function `index` (from 0); asked for once. Without it nothing answers at their addresses. */
  readonly makeVf?: (index: number) => D;
  readonly at?: number;
}

/** What the capability needs of a virtual function; `PciDevice` is one. */
export interface VirtualHardware {
  reset(kind: ResetKind): void;
  close(): void;
}

/** The function that carries the capability. */
export interface PhysicalCarrier<D extends VirtualHardware> {
  readonly config: ConfigSpace;
  sriov: Sriov<D> | null;
}

export class Sriov<D extends VirtualHardware = VirtualHardware> {
  /** Offset of the capability in configuration space. */
  readonly offset: number;
  readonly totalVfs: number;
  readonly vfDevice: number;
  readonly bars: readonly BarDescription[];
  readonly #config: ConfigSpace;
  readonly #makeVf: ((index: number) => D) | undefined;
  readonly #vfs: D[] = [];
  /** Virtual functions that exist now. */
  #active = 0;
  #memory = false;

  constructor(device: PhysicalCarrier<D>, options: SriovOptions<D>) {
    const { totalVfs, initialVfs = totalVfs, pageSizes = PAGE_SIZES, bars = [] } = options;
    const { config } = device;
    const at = config.addExtendedCapability(PCI_EXT_CAP_ID_SRIOV, 1, LENGTH, options.at);
    this.offset = at;
    this.totalVfs = totalVfs;
    this.vfDevice = options.vfDevice;
    this.bars = bars;
    this.#config = config;
    this.#makeVf = options.makeVf;
    const control = PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE | PCI_SRIOV_CTRL_ARI;
    config.define(at + PCI_SRIOV_CTRL, 2, { write: control, flrKept: PCI_SRIOV_CTRL_ARI });
    config.define(at + PCI_SRIOV_INITIAL_VF, 2, { value: initialVfs });
    config.define(at + PCI_SRIOV_TOTAL_VF, 2, { value: totalVfs });
    config.define(at + PCI_SRIOV_NUM_VF, 2, { write: 0xffff });
    config.define(at + PCI_SRIOV_VF_OFFSET, 2, { value: options.vfOffset });
    config.define(at + PCI_SRIOV_VF_STRIDE, 2, { value: options.vfStride });
    config.define(at + PCI_SRIOV_VF_DID, 2, { value: options.vfDevice });
    config.define(at + PCI_SRIOV_SUP_PGSIZE, 4, { value: pageSizes });
    config.define(at + PCI_SRIOV_SYS_PGSIZE, 4, { value: 1, write: pageSizes });
    for (const bar of bars) this.#defineBar(bar);
    config.onWrite(at + PCI_SRIOV_CTRL, 2, () => this.#control());
    config.onWrite(at + PCI_SRIOV_NUM_VF, 2, (offset, size, _value, old) => {
      // Fixed while virtual functions exist.
      if (this.#active > 0) config.poke(offset, size, old);
    });
    device.sriov = this;
  }

  /** VF Enable is set and took effect. */
  get enabled(): boolean {
    return this.#active > 0;
  }

  get numVfs(): number {
    return this.#config.read(this.offset + PCI_SRIOV_NUM_VF, 2);
  }

  /** Bytes of one virtual function's part of a BAR. */
  apertureOf(bar: BarDescription): number {
    const pages = this.#config.read(this.offset + PCI_SRIOV_SYS_PGSIZE, 4);
    return Math.max(bar.size, 4096 * Math.max(1, pages & -pages));
  }

  /** Does virtual function `index` exist now? */
  exists(index: number): boolean {
    return index < this.#active;
  }

  /** Do the BARs of the virtual functions answer (VF Memory Space Enable)? */
  get decodes(): boolean {
    return this.#memory;
  }

  /** Hardware of a virtual function, undefined when nothing was given to stand for it. */
  vf(index: number): D | undefined {
    return this.#vfs[index] ?? this.#make(index);
  }

  /** The number of this function within its device, which the function dependency link names by default. */
  setFunction(devfn: number): void {
    this.#config.define(this.offset + PCI_SRIOV_FUNC_LINK, 1, { value: devfn & 0xff });
  }

  /** The physical function was reset: its registers already show power-on values. */
  reset(): void {
    this.#disable();
  }

  close(): void {
    for (const vf of this.#vfs) vf?.close();
  }

  #make(index: number): D | undefined {
    if (!this.#makeVf || index < 0 || index >= this.totalVfs) return undefined;
    const made = this.#makeVf(index);
    this.#vfs[index] = made;
    return made;
  }

  #control(): void {
    const control = this.#config.read(this.offset + PCI_SRIOV_CTRL, 2);
    const enable = (control & PCI_SRIOV_CTRL_VFE) !== 0;
    if (enable && this.#active === 0) this.#active = Math.min(this.numVfs, this.totalVfs);
    if (!enable) this.#disable();
    this.#memory = this.#active > 0 && (control & PCI_SRIOV_CTRL_MSE) !== 0;
  }

  #disable(): void {
    const gone = this.#active;
    this.#active = 0;
    this.#memory = false;
    for (let i = 0; i < gone; i++) this.#vfs[i]?.reset("power");
  }

  #defineBar(bar: BarDescription): void {
    const at = this.offset + PCI_SRIOV_BAR + 4 * bar.index;
    const wide = bar.type === "mem64";
    const kind = (wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) | (bar.prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
    this.#config.define(at, 4, { value: kind, write: ~(bar.size - 1) >>> 0 });
    if (wide) this.#config.define(at + 4, 4, { write: 0xffffffff });
    this.#config.onWrite(at, 4, () => {
      const address = this.#config.read(at, 4) & ~(this.apertureOf(bar) - 1);
      this.#config.poke(at, 4, (address | kind) >>> 0);
    });
  }
}
