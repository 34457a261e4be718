// QEMU's "edu" teaching device (docs/specs/edu.rst): a factorial unit, an interrupt loopback and a 4 KiB DMA buffer.
// Registers below 0x80 are four bytes wide; those from 0x80 on four or eight, and a four-byte write replaces all eight.
// A reset of its bus or slot takes the pin down and leaves the registers as they are; only power clears them.
// Difference: a transfer outside the buffer is dropped (QEMU stops the machine).
// The option `noSnoop` makes it a function that says No Snoop in its requests as long as DEVCTL lets it, for which it gets the
// Express capability that the teaching device lacks.
// The factorial finishes at once inside the write, as far as software can tell.
import type { BarWidth } from "../bar.ts";
import { Msi } from "../caps/msi.ts";
import { addPcie, mayNotSnoop } from "../caps/pcie.ts";
import type { ResetKind } from "../config-space.ts";
import { PciDevice } from "../device.ts";
import { TLP_NO_SNOOP } from "../ports.ts";
import { PCI_EXP_TYPE_RC_END } from "../registers.ts";
import { type After, realAfter } from "./timer.ts";

export interface EduOptions {
  /** Clock for the DMA engine. Default: real timers. */
  after?: After;
  /** Address lines of the DMA engine in bits, 1..64; higher address bits are dropped, not refused. Default 28. */
  dmaBits?: number;
  /** Duration of a DMA transfer in milliseconds. Default 100. */
  dmaDelay?: number;
  /** DMA asks that no cache be snooped, while DEVCTL's Enable No Snoop is set as it is after a reset. Default false. */
  noSnoop?: boolean;
}

const REG_IDENT = 0x00;
const REG_LIVENESS = 0x04;
const REG_FACTORIAL = 0x08;
const REG_STATUS = 0x20;
const REG_IRQ_STATUS = 0x24;
const REG_IRQ_RAISE = 0x60;
const REG_IRQ_ACK = 0x64;
const REG_DMA_SOURCE = 0x80;
const REG_DMA_COMMAND = 0x98;

const IDENT = 0x010000ed;
const STATUS_IRQ_ON_FACTORIAL = 0x80;
const IRQ_FACTORIAL = 0x001;
const IRQ_DMA = 0x100;
const DMA_RUN = 1;
const DMA_FROM_DEVICE = 2;
const DMA_IRQ = 4;
const BUFFER_BASE = 0x40000;
const BUFFER_SIZE = 4096;
/** 13! exceeds 32 bits but the product is taken modulo 2^32; from 34! on it is 0. */
const FACTORIAL_ZERO_FROM = 34;

export class EduDevice extends PciDevice {
  readonly buffer = new Uint8Array(BUFFER_SIZE);
  readonly #after: After;
  readonly #delay: number;
  readonly #noSnoop: boolean;
  readonly #maskHi: number;
  readonly #maskLo: number;
  #liveness = 0;
  #factorial = 0;
  #status = 0;
  #irqStatus = 0;
  /** source, destination, count, command; low and high half each. */
  readonly #dmaRegs = new Uint32Array(8);
  #pending: { cancel(): void } | null = null;

  constructor(options: EduOptions = {}) {
    super({
      vendor: 0x1234,
      device: 0x11e8,
      classCode: 0x00ff00,
      revision: 0x10,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: 1,
    });
    const bits = options.dmaBits ?? 28;
    this.#after = options.after ?? realAfter;
    this.#delay = options.dmaDelay ?? 100;
    this.#noSnoop = options.noSnoop ?? false;
    this.#maskLo = bits >= 32 ? 0xffffffff : 2 ** bits - 1;
    this.#maskHi = bits <= 32 ? 0 : 2 ** (bits - 32) - 1;
    new Msi(this, { at: 0x40 });
    if (this.#noSnoop) addPcie(this, { type: PCI_EXP_TYPE_RC_END, transfers: true, link: null, at: 0x60 });
    this.addBar({ index: 0, type: "mem32", size: 0x10_0000, prefetchable: false });
  }

  readBar(_bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    // Narrow accesses end on the bus with nothing; a wide one reaches the device, which has no register that wide.
    out[0] = width < 4 ? 0 : 0xffffffff;
    out[1] = width === 8 ? 0xffffffff : 0;
    if (offset >= REG_DMA_SOURCE ? width < 4 : width !== 4) return;
    if (offset >= REG_DMA_SOURCE && offset <= REG_DMA_COMMAND && offset % 8 === 0) {
      const at = (offset - REG_DMA_SOURCE) >> 2;
      out[0] = this.#dmaRegs[at]!;
      if (width === 8) out[1] = this.#dmaRegs[at + 1]!;
      return;
    }
    if (width === 4) out[0] = this.#readRegister(offset);
  }

  writeBar(_bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (offset >= REG_DMA_SOURCE) {
      if (width >= 4) this.#writeDma(offset, lo, width === 8 ? hi : 0);
      return;
    }
    if (width !== 4) return;
    switch (offset) {
      case REG_LIVENESS:
        this.#liveness = ~lo >>> 0;
        break;
      case REG_FACTORIAL:
        this.#factorial = factorial(lo >>> 0);
        if (this.#status & STATUS_IRQ_ON_FACTORIAL) this.#raise(IRQ_FACTORIAL);
        break;
      case REG_STATUS:
        this.#status = lo & STATUS_IRQ_ON_FACTORIAL;
        break;
      case REG_IRQ_RAISE:
        this.#raise(lo);
        break;
      case REG_IRQ_ACK:
        this.#irqStatus = (this.#irqStatus & ~lo) >>> 0;
        if (this.#irqStatus === 0) this.setIntx(false);
        break;
    }
  }

  override close(): void {
    this.#pending?.cancel();
    this.#pending = null;
  }

  protected onReset(kind: ResetKind): void {
    if (kind !== "power") return;
    this.close();
    this.#liveness = 0;
    this.#factorial = 0;
    this.#status = 0;
    this.#irqStatus = 0;
    this.#dmaRegs.fill(0);
    this.buffer.fill(0);
  }

  #readRegister(offset: number): number {
    switch (offset) {
      case REG_IDENT:
        return IDENT;
      case REG_LIVENESS:
        return this.#liveness;
      case REG_FACTORIAL:
        return this.#factorial;
      case REG_STATUS:
        return this.#status;
      case REG_IRQ_STATUS:
        return this.#irqStatus;
      default:
        return 0xffffffff;
    }
  }

  #raise(bits: number): void {
    this.#irqStatus = (this.#irqStatus | bits) >>> 0;
    if (this.#irqStatus === 0) return;
    if (!this.signal(0)) this.setIntx(true);
  }

  #writeDma(offset: number, lo: number, hi: number): void {
    const command = (REG_DMA_COMMAND - REG_DMA_SOURCE) >> 2;
    if (offset > REG_DMA_COMMAND || offset % 8 !== 0 || this.#dmaRegs[command]! & DMA_RUN) return;
    if (offset === REG_DMA_COMMAND && !(lo & DMA_RUN)) return;
    const at = (offset - REG_DMA_SOURCE) >> 2;
    this.#dmaRegs[at] = lo;
    this.#dmaRegs[at + 1] = hi;
    if (offset === REG_DMA_COMMAND) this.#pending = this.#after(this.#delay, () => this.#transfer());
  }

  #transfer(): void {
    this.#pending = null;
    const regs = this.#dmaRegs;
    const command = regs[6]!;
    const fromDevice = (command & DMA_FROM_DEVICE) !== 0;
    const [inside, insideHi, outside] = fromDevice ? [regs[0]!, regs[1]!, 2] : [regs[2]!, regs[3]!, 0];
    const count = regs[4]!;
    const start = inside - BUFFER_BASE;
    if (insideHi === 0 && regs[5] === 0 && start >= 0 && start + count <= BUFFER_SIZE) {
      const window = this.buffer.subarray(start, start + count);
      const hi = regs[outside + 1]! & this.#maskHi;
      const lo = (regs[outside]! & this.#maskLo) >>> 0;
      const attributes = this.#noSnoop && mayNotSnoop(this) ? TLP_NO_SNOOP : 0;
      if (fromDevice) this.dma.write(hi, lo, window, attributes);
      // A refused read completes without data: the engine stores zeroes.
      else if (!this.dma.read(hi, lo, window, attributes)) window.fill(0);
    }
    regs[6] = command & ~DMA_RUN;
    if (command & DMA_IRQ) this.#raise(IRQ_DMA);
  }
}

function factorial(n: number): number {
  if (n >= FACTORIAL_ZERO_FROM) return 0;
  let product = 1;
  for (let i = 2; i <= n; i++) product = Math.imul(product, i);
  return product >>> 0;
}

/** The teaching device, ready to be plugged. */
export function edu(options: EduOptions = {}): EduDevice {
  return new EduDevice(options);
}
