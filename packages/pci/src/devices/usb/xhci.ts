// NEC's USB 3.0 host controller (µPD720200) with nothing plugged in: an eXtensible host controller (xHCI 1.1) that runs
// its command ring and event rings. Commands that need no device complete as such a controller completes them, those
// that address one find none. Messages: MSI-X or MSI, sixteen vectors each, or the pin.
// Registers are dwords; an 8-byte access is two of them, narrower writes are ignored.
import type { BarWidth } from "../../bar.ts";
import { Msi } from "../../caps/msi.ts";
import { Msix } from "../../caps/msix.ts";
import { addPcie } from "../../caps/pcie.ts";
import { PciDevice } from "../../device.ts";
import { PCI_EXP_TYPE_ENDPOINT, PCI_EXP_TYPE_RC_END } from "../../registers.ts";
import { CommandRing } from "./xhci-commands.ts";
import { Interrupter } from "./xhci-interrupter.ts";
import * as regs from "./xhci-registers.ts";

const SBRN = 0x60;
const USB_3_0 = 0x30;
const MICROFRAMES_PER_MILLISECOND = 8;
const MFINDEX_MASK = 0x3fff;
const PORT_AFTER_RESET = regs.PORTSC_POWER | regs.PORTSC_RX_DETECT | regs.PORTSC_CONNECT_CHANGE;

export interface XhciOptions {
  /** It sits on a root bus, not below a port. Default true. */
  readonly integrated?: boolean;
  /** Milliseconds for the microframe index. Default: performance.now. */
  readonly now?: () => number;
}

export class XhciDevice extends PciDevice {
  readonly #now: () => number;
  readonly #interrupters: Interrupter[];
  readonly #ports = new Uint32Array(regs.PORTS).fill(PORT_AFTER_RESET);
  readonly #commands: CommandRing;
  #command = 0;
  #status = regs.STS_HALTED;
  #notifications = 0;
  #contextsLo = 0;
  #contextsHi = 0;
  #config = 0;
  #started = 0;

  constructor(options: XhciOptions = {}) {
    super({
      vendor: 0x1033,
      device: 0x0194,
      classCode: 0x0c0330,
      revision: 3,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: 1,
      configSize: 4096,
    });
    this.#now = options.now ?? (() => performance.now());
    this.config.define(SBRN, 1, { value: USB_3_0, write: 0xff, sticky: 0xff });
    this.addBar({ index: 0, type: "mem64", size: regs.BAR_SIZE, prefetchable: false });
    new Msix(this, {
      vectors: regs.INTERRUPTERS,
      bar: 0,
      table: regs.MSIX_TABLE,
      pba: regs.MSIX_PBA,
      at: 0x90,
    });
    addPcie(this, { type: (options.integrated ?? true) ? PCI_EXP_TYPE_RC_END : PCI_EXP_TYPE_ENDPOINT, at: 0xa0 });
    new Msi(this, { vectors: regs.INTERRUPTERS, at: 0x70 });
    const memory = {
      read: (hi: number, lo: number, into: Uint8Array, attributes?: number) => this.dma.read(hi, lo, into, attributes),
      write: (hi: number, lo: number, from: Uint8Array, attributes?: number) =>
        this.dma.write(hi, lo, from, attributes),
    };
    this.#interrupters = Array.from({ length: regs.INTERRUPTERS }, () => new Interrupter(memory));
    this.#commands = new CommandRing(memory, (event) => this.#post(0, event));
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    if (this.msix?.owns(bar, offset)) {
      this.msix.read(offset, width, out);
      return;
    }
    // Capability registers give their low part to narrow reads at their offset; the others take dwords only.
    const word = offset >= regs.OPERATIONAL && width < 4 ? 0 : this.#read(offset);
    out[0] = width >= 4 ? word : word & (width === 2 ? 0xffff : 0xff);
    out[1] = width === 8 ? this.#read(offset + 4) : 0;
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (this.msix?.owns(bar, offset)) this.msix.write(offset, width, lo, hi);
    else if (width >= 4 && (offset & 3) === 0) {
      this.#write(offset, lo >>> 0);
      if (width === 8) this.#write(offset + 4, hi >>> 0);
    }
  }

  protected onReset(): void {
    this.#ports.fill(PORT_AFTER_RESET);
    this.#command = 0;
    this.#status = regs.STS_HALTED;
    this.#notifications = 0;
    this.#contextsLo = 0;
    this.#contextsHi = 0;
    this.#config = 0;
    this.#commands.reset();
    for (const each of this.#interrupters) each.reset();
    this.#started = this.#now();
    this.#updatePin();
  }

  get #running(): boolean {
    return (this.#status & regs.STS_HALTED) === 0;
  }

  #read(offset: number): number {
    if (offset < regs.OPERATIONAL) return regs.CAPABILITIES.get(offset) ?? 0;
    if (offset >= regs.DOORBELLS) return 0;
    if (offset >= regs.RUNTIME) return this.#readRuntime(offset - regs.RUNTIME);
    if (offset >= regs.PORTS_AT) {
      const register = offset - regs.PORTS_AT;
      return register & 0xc ? 0 : (this.#ports[register >> 4] ?? 0);
    }
    switch (offset - regs.OPERATIONAL) {
      case regs.USBCMD:
        return this.#command;
      case regs.USBSTS:
        return this.#status;
      case regs.PAGESIZE:
        return 1;
      case regs.DNCTRL:
        return this.#notifications;
      case regs.CRCR:
        return (this.#commands.pointerLo | (this.#commands.running ? regs.CRCR_RUNNING : 0)) >>> 0;
      case regs.CRCR + 4:
        return this.#commands.pointerHi;
      case regs.DCBAAP:
        return this.#contextsLo;
      case regs.DCBAAP + 4:
        return this.#contextsHi;
      case regs.CONFIG:
        return this.#config;
      default:
        return 0;
    }
  }

  #readRuntime(offset: number): number {
    if (offset < regs.INTERRUPTER_AT) {
      const elapsed = Math.floor((this.#now() - this.#started) * MICROFRAMES_PER_MILLISECOND);
      return offset === 0 ? elapsed & MFINDEX_MASK : 0;
    }
    const at = offset - regs.INTERRUPTER_AT;
    return this.#interrupters[Math.floor(at / regs.INTERRUPTER_SIZE)]?.read(at % regs.INTERRUPTER_SIZE) ?? 0;
  }

  #write(offset: number, value: number): void {
    if (offset >= regs.DOORBELLS) {
      if (offset === regs.DOORBELLS && this.#running && (value & 0xff) === 0) this.#commands.run();
    } else if (offset >= regs.RUNTIME) this.#writeRuntime(offset - regs.RUNTIME - regs.INTERRUPTER_AT, value);
    else if (offset >= regs.PORTS_AT) this.#writePort(offset - regs.PORTS_AT, value);
    else if (offset >= regs.OPERATIONAL) this.#writeOperational(offset - regs.OPERATIONAL, value);
  }

  #writeRuntime(at: number, value: number): void {
    const interrupter = this.#interrupters[Math.floor(at / regs.INTERRUPTER_SIZE)];
    if (at < 0 || !interrupter) return;
    interrupter.write(at % regs.INTERRUPTER_SIZE, value);
    this.#updatePin();
  }

  #writePort(register: number, value: number): void {
    const port = register >> 4;
    const old = this.#ports[port];
    if (register & 0xc || old === undefined || value & regs.PORTSC_RESETS) return;
    const kept = old & ~(value & regs.PORTSC_CHANGES) & ~regs.PORTSC_WRITABLE;
    this.#ports[port] = (kept | (value & regs.PORTSC_WRITABLE)) >>> 0;
  }

  #writeOperational(register: number, value: number): void {
    switch (register) {
      case regs.USBCMD:
        this.#setCommand(value);
        break;
      case regs.USBSTS:
        this.#status &= ~(value & regs.STS_CLEARABLE);
        this.#updatePin();
        break;
      case regs.DNCTRL:
        this.#notifications = value & 0xffff;
        break;
      case regs.CRCR:
        this.#commands.setPointerLo(value);
        break;
      case regs.CRCR + 4:
        this.#commands.setPointerHi(value);
        break;
      case regs.DCBAAP:
        this.#contextsLo = (value & ~0x3f) >>> 0;
        break;
      case regs.DCBAAP + 4:
        this.#contextsHi = value;
        break;
      case regs.CONFIG:
        this.#config = value & 0xff;
        break;
    }
  }

  #setCommand(value: number): void {
    if (value & regs.CMD_RESET) {
      this.onReset();
      return;
    }
    const run = (value & regs.CMD_RUN) !== 0;
    if (run && !this.#running) this.#status &= ~regs.STS_HALTED;
    else if (!run && this.#running) {
      this.#status |= regs.STS_HALTED;
      this.#commands.stop();
    }
    // There is never a state that could be restored.
    if (value & regs.CMD_RESTORE) this.#status |= regs.STS_RESTORE_ERROR;
    this.#command = value & regs.CMD_WRITABLE & ~(regs.CMD_SAVE | regs.CMD_RESTORE);
    this.#updatePin();
  }

  /** Put an event on a ring and interrupt. A ring that cannot be written is a host controller error. */
  #post(vector: number, event: Uint32Array): void {
    const interrupter = this.#interrupters[vector]!;
    if (!interrupter.post(event)) {
      this.#status |= regs.STS_HOST_ERROR | regs.STS_HALTED;
      this.#command &= ~regs.CMD_RUN;
      return;
    }
    this.#status |= regs.STS_EVENT;
    if (!interrupter.raise()) return;
    if (!(this.#command & regs.CMD_INTERRUPTS)) return;
    // A message takes the place of the pending bit, which only the pin needs.
    if (this.signal(vector)) interrupter.taken();
    else this.#updatePin();
  }

  #updatePin(): void {
    const first = this.#interrupters[0]!;
    this.setIntx((this.#command & regs.CMD_INTERRUPTS) !== 0 && first.asserted);
  }
}
