// The base of every device model: one PCI function with its configuration space, BARs, interrupts and resets.
// A model knows registers and nothing else: no host, no VFIO, no machine. `dma` and `irq` are set by who plugs it.
// Invariants: readBar/writeBar never throw, whatever a guest writes; offsets outside a BAR are refused by the plug
// or answered with ones. A reset first restores configuration registers, then the model's own state (`onReset`).
import type { BarDescription, BarWidth } from "./bar.ts";
import { defineBar } from "./bar.ts";
import type { Msi } from "./caps/msi.ts";
import type { Msix } from "./caps/msix.ts";
import type { Sriov } from "./caps/sriov.ts";
import { ConfigSpace, type ResetKind } from "./config-space.ts";
import { type DmaPort, type IrqPort, type LegacyDisplay, NO_DMA, NO_IRQ } from "./ports.ts";
import * as regs from "./registers.ts";

export interface DeviceIdentity {
  vendor: number;
  device: number;
  /** 24-bit class code: base, sub, programming interface. */
  classCode: number;
  revision?: number;
  subsystemVendor?: number;
  subsystem?: number;
  /** 0 none, 1 INTA .. 4 INTD. Default 0. */
  interruptPin?: number;
  /** 4096 for PCI Express functions. Default 256. */
  configSize?: 256 | 4096;
}

export abstract class PciDevice {
  readonly config: ConfigSpace;
  readonly bars: BarDescription[] = [];
  /** 0: endpoint header; 1: bridge header. */
  readonly headerType: 0 | 1;
  dma: DmaPort = NO_DMA;
  irq: IrqPort = NO_IRQ;
  msi: Msi | null = null;
  msix: Msix | null = null;
  /** The legacy addresses of a VGA display; null for everything else. */
  readonly legacy: LegacyDisplay | null = null;
  sriov: Sriov<PciDevice> | null = null;
  /** Offset of the power management capability, 0 without one; kept here because every access asks for the state. */
  pmOffset = 0;
  #intxWanted = false;
  #intxLevel = false;

  constructor(identity: DeviceIdentity, headerType: 0 | 1 = 0) {
    this.headerType = headerType;
    this.config = new ConfigSpace(identity.configSize ?? 256);
    defineHeader(this.config, identity, headerType);
    this.config.onWrite(regs.PCI_COMMAND, 2, () => this.updateIntx());
  }

  /** Read a register. `out[0]` gets the low half, `out[1]` the high half (0 unless width is 8). */
  abstract readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void;
  abstract writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void;
  /**
   * A memory write of 1 to 64 bytes that was combined on its way here; prefetchable BARs alone get them. The bytes are the
   * caller's. A model without this gets the same bytes by writeBar().
   */
  writeBarBurst?(bar: number, offset: number, bytes: Uint8Array): void;
  /** Put the model's own registers to power-on state; configuration space has been reset already. */
  protected abstract onReset(kind: ResetKind): void;

  /** Hardware reset of this function: configuration registers, interrupts, then the model. */
  reset(kind: ResetKind): void {
    this.config.reset(kind);
    this.msix?.reset();
    this.sriov?.reset();
    this.setIntx(false);
    this.onReset(kind);
  }

  /** Release what the model holds (files, timers). The device is not used afterwards. */
  close(): void {}

  get command(): number {
    return this.config.read(regs.PCI_COMMAND, 2);
  }
  get busMaster(): boolean {
    return (this.config.bytes[regs.PCI_COMMAND]! & regs.PCI_COMMAND_MASTER) !== 0;
  }
  /** May a message leave the function? It is a memory write, so it needs bus mastering and a way that lets it pass. */
  get sendsMessages(): boolean {
    return this.busMaster && this.dma.messagesLost !== true;
  }
  /** True when MSI or MSI-X is enabled, so that INTx must stay silent. */
  get messageSignalled(): boolean {
    return (this.msix?.enabled ?? false) || (this.msi?.enabled ?? false);
  }

  /** Ask for the INTx level; STATUS.InterruptStatus shows it even while the pin is disabled. */
  protected setIntx(wanted: boolean): void {
    this.#intxWanted = wanted;
    this.updateIntx();
  }

  /** Signal vector `n` by whichever message mechanism software enabled. False: none is enabled. */
  protected signal(vector: number): boolean {
    if (this.msix?.enabled) {
      this.msix.raise(vector);
      return true;
    }
    if (this.msi?.enabled) {
      this.msi.raise(vector);
      return true;
    }
    return false;
  }

  /** Recompute the pin after COMMAND or a message enable changed. */
  updateIntx(): void {
    this.config.pokeBits16(regs.PCI_STATUS, regs.PCI_STATUS_INTERRUPT, this.#intxWanted);
    const level = this.#intxWanted && !(this.command & regs.PCI_COMMAND_INTX_DISABLE) && !this.messageSignalled;
    if (level === this.#intxLevel) return;
    this.#intxLevel = level;
    this.irq.intx(level);
  }

  protected addBar(bar: BarDescription): void {
    defineBar(this.config, bar, this.headerType);
    this.bars.push(bar);
  }
}

function defineHeader(config: ConfigSpace, id: DeviceIdentity, headerType: 0 | 1): void {
  const { vendor, device, classCode, revision = 0, interruptPin = 0 } = id;
  config.define(regs.PCI_VENDOR_ID, 2, { value: vendor });
  config.define(regs.PCI_DEVICE_ID, 2, { value: device });
  const always = regs.PCI_COMMAND_IO | regs.PCI_COMMAND_MEMORY | regs.PCI_COMMAND_MASTER;
  const extra = regs.PCI_COMMAND_SERR | regs.PCI_COMMAND_INTX_DISABLE;
  config.define(regs.PCI_COMMAND, 2, { write: always | extra });
  config.define(regs.PCI_STATUS, 2, { rw1c: 0xf900 });
  config.define(regs.PCI_CLASS_REVISION, 4, { value: ((classCode << 8) | revision) >>> 0 });
  config.define(regs.PCI_CACHE_LINE_SIZE, 1, { write: 0xff });
  config.define(regs.PCI_HEADER_TYPE, 1, { value: headerType });
  config.define(regs.PCI_INTERRUPT_LINE, 1, { write: 0xff });
  config.define(regs.PCI_INTERRUPT_PIN, 1, { value: interruptPin });
  if (headerType === 0) {
    config.define(regs.PCI_SUBSYSTEM_VENDOR_ID, 2, { value: id.subsystemVendor ?? 0 });
    config.define(regs.PCI_SUBSYSTEM_ID, 2, { value: id.subsystem ?? 0 });
  }
}
