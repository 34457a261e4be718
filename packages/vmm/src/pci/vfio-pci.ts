// A function of the host passed through to the guest: registers behind BARs are the device's own, configuration space
// is the device's except for what ShadowFunction keeps, interrupts come by eventfd.
// Source: QEMU 7.2 hw/vfio/pci.c: every configuration write goes to the guest's copy and, unfiltered, to the device.
// Invariant: nothing that the guest writes throws; what the host refuses is kept in `problems`.
import type { Host } from "@minivmm/host";
import {
  type BarDescription,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_PIN,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
} from "@minivmm/pci/function";
import {
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  type VfioDevice,
} from "@minivmm/vfio-core";
import { VmmError } from "../errors.ts";
import { BarWriteCounters, type BarWrites } from "./bar-writes.ts";
import { accessWidth, writeInAccesses } from "./burst.ts";
import { decodedBarAddress } from "./emulated.ts";
import type { EndpointWires, HostBar, PciEndpoint } from "./endpoint.ts";
import { type IrqDelivery, WatchedIrqDelivery } from "./irq-delivery.ts";
import { type DeviceMemorySlots, MappedBars } from "./mapped-bars.ts";
import { programMessages } from "./messages.ts";
import { type HostFunction, ShadowFunction } from "./shadow-function.ts";
import { VfioIrqs } from "./vfio-irqs.ts";

/** Ways around this program, where the machine has them. */
export interface VfioPciOptions {
  /** Interrupts that the kernel delivers. Default: this program watches the device's eventfds. */
  readonly delivery?: (gsi: number | undefined, problem: (message: string) => void) => IrqDelivery;
  /** Slots for BARs that the guest reaches without an exit. Default: each access is trapped. */
  readonly slots?: DeviceMemorySlots | undefined;
  /**
   * Nobody tells when the guest ends the pin's interrupt, so an access to the device counts as that; a pin that is still
   * asserted interrupts again.
   */
  readonly accessEndsPin?: boolean;
  /** The guest has it on a PCI Express root bus. */
  readonly onRootComplex?: boolean;
  /**
   * Runs something a few milliseconds later. A guest that moves an MSI to another CPU writes its address and then its data,
   * and a vector of the one on the CPU of the other is nobody's: an address waits so long for its data. Default: it does not.
   */
  readonly later?: ((run: () => void) => void) | undefined;
}

const PROBLEMS_MAX = 8;
const ALL_ONES = 0xffff_ffff;

export class VfioPciEndpoint implements PciEndpoint {
  readonly name: string;
  readonly configSize: 256 | 4096;
  readonly problems: string[] = [];
  private readonly device: VfioDevice;
  private readonly host: Host;
  private readonly options: VfioPciOptions;
  private readonly shadow: ShadowFunction;
  private readonly mapped: MappedBars | undefined;
  private readonly counters = new BarWriteCounters();
  private irqs: VfioIrqs | undefined;
  private gone = false;
  /** An address of a message was written, its data perhaps not yet. */
  private halfWritten = false;

  /** `device` has been opened by a VfioSession, which also closes it. Throws VmmError PASSTHROUGH for what is no PCI function. */
  constructor(name: string, host: Host, device: VfioDevice, options: VfioPciOptions = {}) {
    this.name = name;
    this.options = options;
    this.host = host;
    this.device = device;
    const configBytes = device.region(VFIO_PCI_CONFIG_REGION_INDEX).size;
    if (configBytes < 256) {
      throw new VmmError(`device ${name}: its configuration space has ${configBytes} bytes, so it is no PCI function`, {
        code: "PASSTHROUGH",
        details: { configBytes },
      });
    }
    this.configSize = configBytes >= 4096 ? 4096 : 256;
    const hostFunction: HostFunction = {
      configSize: this.configSize,
      readConfig: (offset, width) => device.readConfig(offset, width),
      barSize: (index) => device.region(index).size,
    };
    this.shadow = new ShadowFunction(hostFunction, options);
    const { slots } = options;
    if (slots !== undefined) {
      this.mapped = new MappedBars(device, slots, this.shadow.msix, (message) => this.problem(message));
    }
  }

  /** Bytes of BARs that the guest reaches without an exit. */
  get directBytes(): number {
    return this.mapped?.directBytes ?? 0;
  }

  get bars(): readonly BarDescription[] {
    return this.shadow.bars;
  }

  get interruptPin(): number {
    return this.shadow.config.read(PCI_INTERRUPT_PIN, 1);
  }

  get msiVectors(): number {
    return this.shadow.msi?.vectors ?? 0;
  }

  get msixVectors(): number {
    return this.shadow.msix?.vectors ?? 0;
  }

  connect(wires: EndpointWires): void {
    this.shadow.irq = { intx: () => {}, msi: (_vector, hi, lo, data) => wires.message(hi, lo, data) };
    const problem = (message: string): void => this.problem(message);
    this.irqs = new VfioIrqs({
      delivery: this.options.delivery?.(wires.gsi, problem) ?? new WatchedIrqDelivery(this.host, problem),
      device: this.device,
      shadow: this.shadow,
      sinks: { intx: (level) => wires.intx(level), problem },
      growsMsix: this.growsMsix(),
    });
    this.irqs.sync();
    // The host has left its decoding on. A guest begins with a function that does nothing (QEMU: vfio_pci_pre_reset), or it
    // would see no need to turn on what its own copy has off.
    this.clearConfig(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  }

  readConfig(offset: number, width: 1 | 2 | 4): number {
    if (this.gone) return width === 4 ? ALL_ONES : 2 ** (width * 8) - 1;
    const { emulated, config } = this.shadow;
    let ours = 0;
    for (let i = 0; i < width; i++) ours += emulated[offset + i]!;
    if (ours === width) return config.read(offset, width);
    let value = this.device.readConfig(offset, width);
    for (let i = 0; i < width && ours > 0; i++) {
      if (emulated[offset + i] === 0) continue;
      const byte = config.bytes[offset + i]!;
      value = ((value & ~(0xff << (i * 8))) | (byte << (i * 8))) >>> 0;
    }
    return width === 4 ? value >>> 0 : value & (2 ** (width * 8) - 1);
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    if (this.gone) return;
    this.shadow.config.write(offset, width, value);
    // Another CPU must not find a page in the guest's address space that the device no longer answers.
    if (this.mapped !== undefined) this.hideWhatIsOff();
    this.device.writeConfig(offset, width, value);
    if (this.writesMessageAddress(offset, width)) this.waitForData();
    else this.syncNow();
  }

  barAddress(bar: BarDescription): number {
    return this.gone ? -1 : decodedBarAddress(this.shadow, bar);
  }

  decodingChanged(bar: BarDescription, address: number): void {
    if (!this.gone) this.mapped?.moved(bar, address);
  }

  readBar(index: number, offset: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    if (this.gone) {
      out.fill(ALL_ONES);
      return;
    }
    const { msix } = this.shadow;
    if (msix?.owns(index, offset)) {
      this.irqs?.collectPending();
      msix.read(offset, width, out);
      return;
    }
    this.device.readRegion(index, offset, width, out);
    if (this.options.accessEndsPin) this.irqs?.intxEnded();
  }

  writeBar(index: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (this.gone) return;
    this.counters.write(index, width);
    const { msix } = this.shadow;
    if (msix?.owns(index, offset)) {
      msix.write(offset, width, lo, hi);
      this.irqs?.sync();
      return;
    }
    this.device.writeRegion(index, offset, width, lo, hi);
    if (this.options.accessEndsPin) this.irqs?.intxEnded();
  }

  /**
   * One request to the host. It is the kernel that cuts it into accesses of up to 8 bytes, and a mapping of the BAR would do no
   * better: VFIO maps BARs as strictly ordered, so the guest's wish ends here.
   */
  writeBurst(index: number, offset: number, bytes: Uint8Array): void {
    if (this.gone) return;
    // Vectors are this program's, register by register.
    if (this.shadow.msix?.bar === index || accessWidth(offset, bytes.length) === bytes.length) {
      writeInAccesses(this, index, offset, bytes);
      return;
    }
    this.counters.burst(index, bytes.length);
    this.device.writeRegionBytes(index, offset, bytes);
    if (this.options.accessEndsPin) this.irqs?.intxEnded();
  }

  barWrites(): readonly BarWrites[] {
    return this.counters.list();
  }

  hostBar(index: number): HostBar {
    return {
      bdf: this.device.name,
      directBytes: this.mapped?.directBytesOf(index) ?? 0,
      msixTable: this.shadow.msix?.bar === index,
    };
  }

  programMessages(kind: "msi" | "msix", hi: number, lo: number, firstData: number, count: number): void {
    programMessages(this.shadow, kind, hi, lo, firstData, count);
    this.irqs?.sync();
  }

  intxEnded(): void {
    this.irqs?.intxEnded();
  }

  /**
   * A reset turns messages off. They go off in the host first and in the guest's copy, so that the guest can set them up
   * anew; BARs keep what the guest wrote, which their decoding needs once COMMAND is restored.
   */
  prepareReset(): void {
    const { msi, msix } = this.shadow;
    if (msi?.enabled) this.clearConfig(msi.offset + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
    if (msix?.enabled) this.clearConfig(msix.offset + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
    msix?.reset();
  }

  /**
   * The host wants the function back: it vanishes from the guest as if it had been pulled out, and its registers read as
   * ones from then on. Whoever holds the device closes it.
   */
  remove(): void {
    if (this.gone) return;
    this.close();
    this.gone = true;
  }

  close(): void {
    if (this.gone) return;
    this.halfWritten = false;
    this.irqs?.disable();
    this.mapped?.close();
  }

  private writesMessageAddress(offset: number, width: number): boolean {
    const { msi } = this.shadow;
    if (this.options.later === undefined || msi === null || !msi.enabled) return false;
    return offset >= msi.offset + 4 && offset + width <= msi.dataOffset;
  }

  private waitForData(): void {
    if (this.halfWritten) return;
    this.halfWritten = true;
    this.options.later?.(() => {
      if (this.halfWritten) this.syncNow();
    });
  }

  private syncNow(): void {
    this.halfWritten = false;
    this.irqs?.sync();
  }

  private hideWhatIsOff(): void {
    for (const bar of this.shadow.bars) if (this.barAddress(bar) < 0) this.mapped?.moved(bar, -1);
  }

  private growsMsix(): boolean {
    if (this.shadow.msix === null) return false;
    return (this.device.irq(VFIO_PCI_MSIX_IRQ_INDEX).flags & VFIO_IRQ_INFO_NORESIZE) === 0;
  }

  private clearConfig(offset: number, bits: number): void {
    this.writeConfig(offset, 2, this.readConfig(offset, 2) & ~bits);
  }

  private problem(message: string): void {
    // What failed is tried again when the guest writes its registers again.
    if (this.problems.length < PROBLEMS_MAX && !this.problems.includes(message)) this.problems.push(message);
  }
}
