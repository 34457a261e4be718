// The graph of a host's PCI hardware: domains, buses, functions and IOMMU groups, which all refer to one another.
// A function is what the kernel calls pci_dev: it joins the device model with an address, assigned BARs, the bound driver
// and its group, and it is the plug: DMA of the model goes through COMMAND.BusMaster to the group's domain, bus accesses
// to BARs through COMMAND.Memory/IO and the power state. Sources: drivers/pci/probe.c, drivers/iommu/iommu.c.
// Invariants: `device.dma` is the function's port from construction on (a machine may put its own there); buses keep
// enumeration order, which hot reset and group building walk; a group's DMA belongs either to kernel drivers or to one
// user-space owner, never to both.
import { EINVAL, EPERM } from "@minivmm/host";
import { type AssignedBar, type BarWidth, ROM_BAR } from "../bar.ts";
import { type Bdf, devfnOf, formatBdf, requesterIdOf } from "../bdf.ts";
import { pcieType } from "../caps/pcie.ts";
import { powerState } from "../caps/pm.ts";
import type { AccessSize, ConfigSpace } from "../config-space.ts";
import type { PciDevice } from "../device.ts";
import type { IommuDomain } from "../iommu/domain.ts";
import { isDriverManaged } from "../iommu/managed-drivers.ts";
import { type DmaPort, TLP_NO_SNOOP } from "../ports.ts";
import {
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MFD,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS_ENABLE,
  PCI_VENDOR_ID,
} from "../registers.ts";
import type { ResetMethod } from "../reset/method-names.ts";
import type { DmaRequest, DmaWatch } from "./dma-watch.ts";
import type { IovState } from "./iov-state.ts";
import type { AddressWindows, BridgeWindows } from "./windows.ts";

export interface PciDomain {
  readonly number: number;
  readonly windows: AddressWindows;
  /** Smallest alignment of a memory BAR: the host's page size keeps two BARs from sharing a page. */
  readonly barAlignment: number;
  readonly root: PciBus;
}

/** A bus: its number, the bridge it hangs from (none for a root bus) and its functions in enumeration order. */
export class PciBus {
  readonly domain: PciDomain;
  readonly number: number;
  /** The bridge above, null for the root bus of a domain and for a bus that only virtual functions are on. */
  readonly bridge: PciFunction | null;
  /** The bus that a transaction passes next on its way up, null for a root bus. */
  readonly parent: PciBus | null;
  readonly functions: PciFunction[] = [];
  /** Highest bus number below, this one included. */
  subordinate: number;

  constructor(domain: PciDomain, number: number, bridge: PciFunction | null, parent: PciBus | null = null) {
    this.domain = domain;
    this.number = number;
    this.bridge = bridge;
    this.parent = parent ?? bridge?.bus ?? null;
    this.subordinate = number;
  }

  get isRoot(): boolean {
    return this.parent === null;
  }

  /** The bridges above, nearest first; buses of virtual functions have none of their own. */
  *bridges(): Generator<PciFunction> {
    for (let bus: PciBus | null = this; bus !== null; bus = bus.parent) if (bus.bridge) yield bus.bridge;
  }

  /** Every function on this bus and below, a bridge before what it leads to (pci_walk_bus order). */
  *walk(): Generator<PciFunction> {
    for (const fn of this.functions) {
      yield fn;
      if (fn.secondary) yield* fn.secondary.walk();
    }
  }
}

/** Functions that an IOMMU cannot tell apart, the domain their DMA goes through, and who owns that DMA. */
export class IommuGroup {
  readonly id: number;
  readonly functions: PciFunction[] = [];
  /** Null: DMA of the whole group is refused. */
  domain: IommuDomain | null = null;
  /** Requests that say No Snoop are snooped all the same: the IOMMU was told to enforce it with the domain. */
  enforcesSnoop = false;
  /** EEH: the partitionable endpoint is isolated after an error: BARs do not answer, DMA is refused, messages are lost. */
  peFrozen = false;
  /** EEH: BARs may answer again, DMA and messages of the endpoint are still stopped. */
  peDmaStopped = false;
  /** Name that the platform gives the group (`/sys/kernel/iommu_groups/N/name`), null on hosts that give none. */
  readonly name: string | null;
  #owner: object | null = null;

  constructor(id: number, name: string | null = null) {
    this.id = id;
    this.name = name;
  }

  /** Whether EEH lets nothing through that the functions send. The pin is a message to the bridge itself and passes. */
  get peSilenced(): boolean {
    return this.peFrozen || this.peDmaStopped;
  }

  get owner(): object | null {
    return this.#owner;
  }

  /** Members whose driver uses the kernel's DMA API; while there is one, user space cannot have the group. */
  kernelOwned(): PciFunction[] {
    return this.functions.filter((fn) => fn.driver !== null && !isDriverManaged(fn.driver));
  }

  /** May a VFIO user have this group now (no kernel-owned member)? */
  get viable(): boolean {
    return this.kernelOwned().length === 0;
  }

  /** Take the group's DMA for user space. 0, -EINVAL without an owner, -EPERM when it is taken or not viable. */
  claimDmaOwner(owner: object | null): number {
    if (owner === null) return -EINVAL;
    if (this.#owner !== null || !this.viable) return -EPERM;
    this.#owner = owner;
    return 0;
  }

  /** Give the group's DMA back. The domain is dropped: nothing is mapped for nobody. */
  releaseDmaOwner(): void {
    this.#owner = null;
    this.domain = null;
    this.enforcesSnoop = false;
  }
}

const D3HOT = 3;

/** An expansion ROM in memory instead of in the device (IORESOURCE_ROM_SHADOW). Bytes beyond the contents are ones. */
export interface ShadowRom {
  /** Host physical address. */
  readonly address: number;
  readonly size: number;
  readonly contents: Uint8Array;
}

export class PciFunction {
  readonly bdf: Bdf;
  readonly bus: PciBus;
  readonly device: PciDevice;
  /** The physical function that this virtual one belongs to, null for all others. */
  readonly physfn: PciFunction | null;
  /** SR-IOV as the kernel keeps it for a physical function, null for all others. */
  iov: IovState<PciFunction> | null = null;
  /** BARs with the addresses that the host's firmware gave them. */
  readonly bars: AssignedBar[];
  readonly #barAt: (AssignedBar | undefined)[] = [];
  /** The bus behind a bridge. */
  secondary: PciBus | null = null;
  /** Name of the bound driver. Change it through `bindDriver` / `unbindDriver`, which keep the group's rules. */
  driver: string | null = null;
  driverOverride: string | null = null;
  group: IommuGroup | null = null;
  /** The interrupt number that the kernel shows for the function: what firmware wrote, later what the line is wired to. */
  irq = 0;
  /** Global system interrupt behind the INTx pin, 0 without one: `irq` once the function has been enabled. */
  gsi = 0;
  /** The copy of an expansion ROM that firmware left in memory for this display, null without one. */
  shadowRom: ShadowRom | null = null;
  /** Bridges: forwarding windows. */
  windows: BridgeWindows = {};
  /** Reset methods in the order the kernel tries them, as found when the function was added (or rewritten through sysfs). */
  resetMethods: ResetMethod[] = [];
  /** True while somebody holds the kernel's device lock: resets by others fail with EAGAIN. */
  locked = false;
  #responding = true;
  readonly #vfIndex: number;
  /** Who wants to know of each request of the function. */
  dmaWatch: DmaWatch | null = null;
  /** Set by slots with a hotplug driver (pciehp): resets of the slot are preferred to bus resets. */
  hotplugSlot = false;

  /** `virtual`: which virtual function of which physical one this is. */
  constructor(bus: PciBus, bdf: Bdf, device: PciDevice, virtual?: { physfn: PciFunction; index: number }) {
    this.bus = bus;
    this.bdf = bdf;
    this.device = device;
    this.physfn = virtual?.physfn ?? null;
    this.#vfIndex = virtual?.index ?? 0;
    this.bars = virtual
      ? virtualBars(virtual.physfn, virtual.index)
      : device.bars.map((bar) => ({ ...bar, address: 0, busAddress: 0 }));
    for (const bar of this.bars) this.#barAt[bar.index] = bar;
    device.dma = new FunctionDma(this);
  }

  /** False: the function does not answer (link down, gone, disabled); configuration reads give ones. */
  get responding(): boolean {
    return this.#responding && (this.physfn?.device.sriov?.exists(this.#vfIndex) ?? true);
  }
  set responding(answers: boolean) {
    this.#responding = answers;
  }
  /** Ids as the kernel knows them: a virtual function's own registers show none. */
  get vendorId(): number {
    return (this.physfn ?? this).config.read(PCI_VENDOR_ID, 2);
  }
  get deviceId(): number {
    return this.physfn?.device.sriov?.vfDevice ?? this.config.read(PCI_DEVICE_ID, 2);
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
    if (this.physfn) return false;
    // A function that is not the first has a first one beside it, whatever its own header says (pci_scan_slot).
    return this.bdf.function > 0 || (this.config.read(PCI_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MFD) !== 0;
  }
  /** PCI_EXP_TYPE_*, -1 for a conventional function. */
  get pcieType(): number {
    return pcieType(this.device);
  }
  get powerState(): number {
    return powerState(this.device);
  }

  /** What pci_enable_device does about interrupts: the pin's own number takes the place of firmware's. */
  routeInterrupt(): void {
    if (this.gsi !== 0) this.irq = this.gsi;
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
    // Memory of virtual functions is enabled for all of them at once, in the physical function.
    if (this.physfn) return this.physfn.device.sriov?.decodes ?? false;
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

/** A virtual function's part of the BARs that the physical one places for all. */
function virtualBars(physfn: PciFunction, index: number): AssignedBar[] {
  return (physfn.iov?.bars ?? []).map((bar) => ({
    ...bar,
    address: bar.address + index * bar.size,
    busAddress: bar.busAddress + index * bar.size,
  }));
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

  get messagesLost(): boolean {
    return this.#fn.group?.peSilenced ?? false;
  }

  read(hi: number, lo: number, into: Uint8Array, attributes = 0): boolean {
    const { group, dmaWatch } = this.#fn;
    if (dmaWatch !== null) return this.#watched(dmaWatch, { hi, lo, bytes: into, write: false, attributes });
    if (group === null || group.domain === null || group.peSilenced || !mayMaster(this.#fn)) return false;
    return group.domain.read(hi, lo, into);
  }

  write(hi: number, lo: number, from: Uint8Array, attributes = 0): boolean {
    const { group, dmaWatch } = this.#fn;
    if (dmaWatch !== null) return this.#watched(dmaWatch, { hi, lo, bytes: from, write: true, attributes });
    if (group === null || group.domain === null || group.peSilenced || !mayMaster(this.#fn)) return false;
    return group.domain.write(hi, lo, from);
  }

  /** A request that the function may not make is none. */
  #watched(watch: DmaWatch, { hi, lo, bytes, write, attributes }: Transfer): boolean {
    const fn = this.#fn;
    const { group } = fn;
    if (group === null || group.peSilenced || !mayMaster(fn)) return false;
    const noSnoop = (attributes & TLP_NO_SNOOP) !== 0 && !group.enforcesSnoop;
    const request: DmaRequest = { function: fn.name, hi, lo, length: bytes.length, write, noSnoop };
    watch.before(request);
    const { domain } = group;
    const done = domain !== null && (write ? domain.write(hi, lo, bytes) : domain.read(hi, lo, bytes));
    watch.after(request, done);
    return done;
  }
}

interface Transfer {
  readonly hi: number;
  readonly lo: number;
  readonly bytes: Uint8Array;
  readonly write: boolean;
  readonly attributes: number;
}
