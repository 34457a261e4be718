/**
 * A PCI function bound to vfio-pci: registration, open count, reset, and the life of its open state.
 *
 * The first open takes what dma-use.ts says; the last close gives it back, switches bus mastering and interrupts off and
 * resets the function. Further opens through the group share everything.
 * Source: vfio_pci_core_enable, vfio_pci_core_disable, vfio_main.c (vfio_df_open).
 */
import { EAGAIN, EINVAL } from "@minivmm/host";
import { KernelError, type ModelProcess, type OpenFile } from "@minivmm/host/model";
import {
  type LegacyDisplay,
  type PciFunction,
  resetFunction,
  restoreConfig,
  type SavedConfig,
  saveConfig,
  setPowerState,
} from "@minivmm/pci";
import {
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
} from "../uapi.ts";
import { isMappable } from "./bar-mapping.ts";
import { type HostBar, ROM_INDEX } from "./config/bars.ts";
import {
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
} from "./config/header.ts";
import type { VirtualConfig } from "./config/virtual-config.ts";
import { DeviceState } from "./device-state.ts";
import { type DmaUse, useContainer, useIommufd, useWithoutIommu } from "./dma-use.ts";
import type { LowPower } from "./feature.ts";
import type { KvmReference, VfioGroup } from "./group.ts";
import { Ioas, type IommufdDevice, iommufdOf } from "./iommufd/index.ts";
import type { Profile } from "./profile.ts";
import type { BarRegions } from "./regions.ts";
import { romImageSize } from "./rom.ts";
import { VfToken } from "./vf-token.ts";
import type { IoctlHandler, VfioHost } from "./vfio-host.ts";
import { legacyDisplay } from "./vga-region.ts";

/** An ioctl of vfio-pci device files that another package answers. */
export type DeviceIoctlHandler = IoctlHandler<VfioPciDevice>;

export class VfioPciDevice {
  readonly fn: PciFunction;
  readonly group: VfioGroup<VfioPciDevice>;
  readonly host: VfioHost<VfioPciDevice>;
  openCount = 0;
  /** Open files of the device's own node. */
  nodeFiles = 0;
  /** Open, and through its own node. */
  openedByNode = false;
  /** The open-time trial reset succeeded. */
  resetWorks = false;
  /** Closed without a bus reset since. */
  needsReset = false;
  /** The driver is being unbound and waits for the last close. */
  removing = false;
  /** An SR-IOV physical function demands it of those who open its virtual functions. */
  readonly vfToken: VfToken | null;
  /** A virtual function that vfio-pci brought about: its physical function's token. */
  readonly sharedToken: VfToken | null;
  /** The virtual machine that the device keeps alive while open. */
  kvm: KvmReference | null = null;
  /** Per BAR: may be mapped. */
  mappable: readonly boolean[] = [];
  /** Called after the last close. */
  onIdle: () => void = () => undefined;
  #state: DeviceState | null = null;
  #saved: SavedConfig | null = null;
  #use: DmaUse | null = null;

  /** `sharedToken`: see there. */
  constructor(
    fn: PciFunction,
    group: VfioGroup<VfioPciDevice>,
    host: VfioHost<VfioPciDevice>,
    sharedToken: VfToken | null = null,
  ) {
    this.fn = fn;
    this.group = group;
    this.host = host;
    this.vfToken = fn.iov ? new VfToken() : null;
    this.sharedToken = sharedToken;
  }

  get name(): string {
    return this.fn.name;
  }
  get profile(): Profile {
    return this.host.profile;
  }
  get pageSize(): number {
    return this.host.pageSize;
  }
  get isExpress(): boolean {
    return this.fn.pcieType >= 0;
  }
  get isVirtual(): boolean {
    return this.fn.physfn !== null;
  }
  /** Somebody has a file of it, bound or not. */
  get inUse(): boolean {
    return this.openCount > 0 || this.nodeFiles > 0;
  }
  /** Its object in an iommufd, while it is open through one. */
  get iommufd(): IommufdDevice | null {
    return this.#use?.iommufd ?? null;
  }
  /** The IOMMU in front of it makes no-snoop DMA snoop. */
  get enforcesSnoop(): boolean {
    return this.group.type !== "noiommu" && this.host.enforcesSnoop(this.fn);
  }
  /** Only while open. */
  get state(): DeviceState {
    if (!this.#state) throw new KernelError(EINVAL, `${this.name} is not open`);
    return this.#state;
  }
  get bars(): readonly HostBar[] {
    return this.state.bars;
  }
  get config(): VirtualConfig {
    return this.state.config;
  }
  get regions(): BarRegions {
    return this.state.regions;
  }
  /** What region 8 leads to; null but for displays. */
  get display(): LegacyDisplay | null {
    return legacyDisplay(this.fn);
  }
  get lowPower(): LowPower {
    return this.state.lowPower;
  }
  get dynamicMsix(): boolean {
    return this.host.dynamicMsix && this.profile.dynamicMsix && this.fn.device.msix !== null;
  }

  report(line: string): void {
    this.host.report(this.fn, line);
  }

  mappingAccessible(): boolean {
    return this.state.memoryAccessible() && !this.state.lowPower.engaged;
  }

  irqCount(index: number): number {
    const { msi, msix } = this.fn.device;
    switch (index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        return this.config.interruptPin === 0 ? 0 : 1;
      case VFIO_PCI_MSI_IRQ_INDEX:
        return msi?.vectors ?? 0;
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return msix?.vectors ?? 0;
      case VFIO_PCI_ERR_IRQ_INDEX:
        return this.isExpress ? 1 : 0;
      default:
        return 1;
    }
  }

  /** Size of the ROM BAR, 0 when there is no valid image behind it. */
  romSize(): number {
    const size = this.bars[ROM_INDEX]?.size ?? 0;
    return size > 0 && romImageSize(this.fn, size) > 0 ? size : 0;
  }

  /** One more open file of the group's. Throws KernelError as GET_DEVICE_FD fails. */
  open(process: ModelProcess): void {
    const { group } = this;
    if (!group.attached) throw new KernelError(EINVAL, `group ${group.id} has no container`);
    if (this.openCount === 0) this.#openByGroup(process);
    this.openCount++;
  }

  /** The only open file, of the device's own node. Throws KernelError as BIND_IOMMUFD fails. */
  openAlone(iommufd: OpenFile, kvm: KvmReference | null): void {
    if (this.openCount > 0) throw new KernelError(EINVAL, `${this.name} is open already`);
    this.#firstOpen(useIommufd(this.fn, iommufd), kvm);
    this.openedByNode = true;
    this.openCount = 1;
  }

  close(): void {
    if (--this.openCount > 0) return;
    this.#lastClose();
    this.leave();
  }

  /** A user is gone: the driver may be waiting for the last one. */
  leave(): void {
    if (!this.inUse) this.onIdle();
  }

  /** VFIO_DEVICE_RESET. */
  reset(): number {
    if (!this.resetWorks) return -EINVAL;
    this.state.setPower(0);
    return resetFunction(this.fn);
  }

  #openByGroup(process: ModelProcess): void {
    const { group } = this;
    const iommufd = group.iommufd && iommufdOf(group.iommufd);
    if (!group.iommufd || !iommufd) {
      this.#firstOpen(useContainer(group, process), group.kvm);
    } else if (group.type === "noiommu") {
      this.#firstOpen(useWithoutIommu(process, iommufd.compatIoas !== null), group.kvm);
    } else {
      this.#firstOpen(useIommufd(this.fn, group.iommufd), group.kvm);
      try {
        this.iommufd?.attach(Ioas.compat(iommufd).id);
      } catch (error) {
        this.#lastClose();
        throw error;
      }
    }
  }

  #firstOpen(use: DmaUse, kvm: KvmReference | null): void {
    try {
      this.#enable();
    } catch (error) {
      use.release();
      throw error;
    }
    this.#use = use;
    if (this.sharedToken) this.sharedToken.users++;
    this.kvm = this.profile.keepsVm ? kvm : null;
    this.kvm?.get();
  }

  #lastClose(): void {
    if (this.sharedToken) this.sharedToken.users--;
    this.#disable();
    this.kvm?.put();
    this.kvm = null;
    this.openedByNode = false;
    const use = this.#use;
    this.#use = null;
    use?.release();
  }

  #enable(): void {
    const { fn } = this;
    const before = fn.readConfig(PCI_COMMAND, 2);
    const decode = fn.bars.reduce(
      (bits, bar) => bits | (bar.type === "io" ? PCI_COMMAND_IO : bar.index === ROM_INDEX ? 0 : PCI_COMMAND_MEMORY),
      0,
    );
    setPowerState(fn, 0);
    fn.routeInterrupt();
    fn.writeConfig(PCI_COMMAND, 2, (before & ~PCI_COMMAND_MASTER) | decode);
    const reset = resetFunction(fn);
    if (reset === -EAGAIN) throw new KernelError(EAGAIN, `${this.name} is locked by somebody else`);
    this.resetWorks = reset === 0;
    this.#saved = saveConfig(fn);
    const pci23 = !this.host.nointxmask && this.#intxDisableWorks();
    if (pci23) fn.writeConfig(PCI_COMMAND, 2, fn.readConfig(PCI_COMMAND, 2) & ~PCI_COMMAND_INTX_DISABLE);
    this.#state = new DeviceState({
      fn,
      profile: this.profile,
      pci23,
      dynamicMsix: this.dynamicMsix,
      multiMsi: this.host.multiMsi,
      lines: this.host.lines,
      functionReset: () => {
        resetFunction(fn);
      },
    });
    const alone = (start: number, end: number) => this.host.aloneInPage(fn, start, end);
    this.mappable = this.bars.slice(0, ROM_INDEX).map((bar) => isMappable(bar, this.pageSize, alone));
  }

  #intxDisableWorks(): boolean {
    const { fn } = this;
    const command = fn.readConfig(PCI_COMMAND, 2);
    fn.writeConfig(PCI_COMMAND, 2, command ^ PCI_COMMAND_INTX_DISABLE);
    const works = ((fn.readConfig(PCI_COMMAND, 2) ^ command) & PCI_COMMAND_INTX_DISABLE) !== 0;
    fn.writeConfig(PCI_COMMAND, 2, command);
    return works;
  }

  #disable(): void {
    const { fn } = this;
    this.state.setPower(0);
    fn.writeConfig(PCI_COMMAND, 2, fn.readConfig(PCI_COMMAND, 2) & ~PCI_COMMAND_MASTER);
    this.state.close();
    this.#state = null;
    this.needsReset = true;
    fn.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
    const bridgeLocked = fn.bus.bridge?.locked ?? false;
    if (this.resetWorks && !bridgeLocked && resetFunction(fn) === 0) this.needsReset = false;
    if (this.#saved) restoreConfig(fn, this.#saved);
    this.#saved = null;
    this.host.tryResetSet(this);
  }
}
