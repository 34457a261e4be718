// One PCI function in its place on the bus: what the host's kernel calls pci_dev. It joins the device model with an
// address, assigned BARs, the driver bound to it and its IOMMU group, and it is the plug: DMA of the model goes through
// COMMAND.BusMaster to the group's domain, bus accesses to BARs go through COMMAND.Memory/IO and the power state.
// Invariant: `device.dma` is this function's port from construction on; a machine may put its own ports there instead.
import { type AssignedBar, ROM_BAR } from "../bar.ts";
import { type Bdf, devfnOf, formatBdf, requesterIdOf } from "../bdf.ts";
import { pcieType } from "../caps/pcie.ts";
import { powerState } from "../caps/pm.ts";
import type { AccessSize, ConfigSpace } from "../config-space.ts";
import type { BarWidth, PciDevice } from "../device.ts";
import type { IommuGroup } from "../iommu/group.ts";
import type { DmaPort } from "../ports.ts";
import {
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MFD,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS_ENABLE,
} from "../registers.ts";
import type { ResetMethod } from "../reset/methods.ts";
import type { PciBus } from "./bus.ts";

const D3HOT = 3;

export class PciFunction {
  readonly bdf: Bdf;
  readonly bus: PciBus;
  readonly device: PciDevice;
  /** BARs with the addresses that the host's firmware gave them. */
  readonly bars: AssignedBar[];
  readonly #barAt: (AssignedBar | undefined)[] = [];
  /** The bus behind a bridge. */
  secondary: PciBus | null = null;
  /** Name of the bound driver. Change it through `bindDriver` / `unbindDriver`, which keep the group's rules. */
  driver: string | null = null;
  driverOverride: string | null = null;
  group: IommuGroup | null = null;
  /** Reset methods in the order the kernel tries them, as found when the function was added (or rewritten through sysfs). */
  resetMethods: ResetMethod[] = [];
  /** True while somebody holds the kernel's device lock: resets by others fail with EAGAIN. */
  locked = false;
  /** False: the function does not answer (link down, gone); configuration reads give ones. */
  responding = true;
  /** Set by slots with a hotplug driver (pciehp): resets of the slot are preferred to bus resets. */
  hotplugSlot = false;

  constructor(bus: PciBus, bdf: Bdf, device: PciDevice) {
    this.bus = bus;
    this.bdf = bdf;
    this.device = device;
    this.bars = device.bars.map((bar) => ({ ...bar, address: 0, busAddress: 0 }));
    for (const bar of this.bars) this.#barAt[bar.index] = bar;
    device.dma = new FunctionDma(this);
  }

  /** `0000:01:00.0` */
  get name(): string {
    return formatBdf(this.bdf);
  }
  get config(): ConfigSpace {
    return this.device.config;
  }
  get devfn(): number {
    return devfnOf(this.bdf);
  }
  get requesterId(): number {
    return requesterIdOf(this.bdf);
  }
  get isBridge(): boolean {
    return this.device.headerType === 1;
  }
  get multifunction(): boolean {
    return (this.config.read(PCI_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MFD) !== 0;
  }
  /** PCI_EXP_TYPE_*, -1 for a conventional function. */
  get pcieType(): number {
    return pcieType(this.device);
  }
  get powerState(): number {
    return powerState(this.device);
  }

  readConfig(offset: number, size: AccessSize): number {
    if (!this.responding) return size === 4 ? 0xffffffff : (1 << (size * 8)) - 1;
    return this.config.read(offset, size);
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (this.responding) this.config.write(offset, size, value);
  }

  bar(index: number): AssignedBar | undefined {
    return this.#barAt[index];
  }

  /** True when the function answers accesses to this BAR now: decode enabled, in D0..D2, present. */
  decodes(bar: AssignedBar): boolean {
    if (!this.responding || this.powerState === D3HOT) return false;
    const needed = bar.type === "io" ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    if ((this.device.command & needed) === 0) return false;
    return bar.index !== ROM_BAR || (this.config.read(PCI_ROM_ADDRESS, 1) & PCI_ROM_ADDRESS_ENABLE) !== 0;
  }

  /** A CPU read of a BAR, as the bus answers it: ones when nothing decodes. */
  readBar(index: number, offset: number, width: BarWidth, out: Uint32Array): void {
    const bar = this.bar(index);
    if (bar && offset >= 0 && offset + width <= bar.size && this.decodes(bar)) {
      this.device.readBar(index, offset, width, out);
      return;
    }
    out[0] = width >= 4 ? 0xffffffff : 2 ** (width * 8) - 1;
    out[1] = width === 8 ? 0xffffffff : 0;
  }

  /** A CPU write to a BAR; lost when nothing decodes. */
  writeBar(index: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    const bar = this.bar(index);
    if (!bar || offset < 0 || offset + width > bar.size || !this.decodes(bar)) return;
    this.device.writeBar(index, offset, width, lo, hi);
  }
}

/** May this function start a memory transaction now? The helper for plugs that bring their own DMA port. */
export function mayMaster(fn: PciFunction): boolean {
  return fn.device.busMaster && fn.responding && fn.powerState !== D3HOT;
}

/** The path of a function's DMA on the modelled host: bus master, then the group's domain; no domain means blocked. */
class FunctionDma implements DmaPort {
  readonly #fn: PciFunction;

  constructor(fn: PciFunction) {
    this.#fn = fn;
  }

  read(hi: number, lo: number, into: Uint8Array): boolean {
    const group = this.#fn.group;
    if (group === null || group.domain === null || group.peFrozen || !mayMaster(this.#fn)) return false;
    return group.domain.read(hi, lo, into);
  }

  write(hi: number, lo: number, from: Uint8Array): boolean {
    const group = this.#fn.group;
    if (group === null || group.domain === null || group.peFrozen || !mayMaster(this.#fn)) return false;
    return group.domain.write(hi, lo, from);
  }
}
