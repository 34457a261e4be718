// An Intel High Definition Audio controller of the ICH9 (HDA 1.0a chapter 4) with no codec on its link: register file,
// command and response rings in memory, the wall clock, and interrupts through the pin or MSI.
// A verb for a codec that is not there gets no response, so the command ring drains and the response ring stays as it is.
// The register block appears twice in the BAR, its second copy at 0x2000.
import type { BarWidth } from "../../bar.ts";
import { Msi } from "../../caps/msi.ts";
import { PciDevice } from "../../device.ts";
import * as regs from "./registers.ts";

const BAR_SIZE = 0x4000;
const ALIAS = 0x2000;
const HDCTL = 0x40;
/** 24 MHz. */
const WALL_CLOCK_PER_MILLISECOND = 24_000;
const VERB_SIZE = 4;
const RING_MASK = 0xff;

export interface HdaOptions {
  /** Milliseconds for the wall clock. Default: performance.now. */
  readonly now?: () => number;
}

export class HdaDevice extends PciDevice {
  readonly #values = new Map<number, number>();
  readonly #now: () => number;
  #started = 0;

  constructor(options: HdaOptions = {}) {
    super({
      vendor: 0x8086,
      device: 0x293e,
      classCode: 0x040300,
      revision: 3,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: 1,
    });
    this.#now = options.now ?? (() => performance.now());
    // Azalia mode rather than AC '97.
    this.config.define(HDCTL, 1, { value: 1, write: 0xff, sticky: 0xff });
    this.addBar({ index: 0, type: "mem32", size: BAR_SIZE, prefetchable: false });
    new Msi(this, { at: 0x60 });
    this.#toPowerOn();
  }

  readBar(_bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    const value = this.#read(offset % ALIAS);
    out[0] = width >= 4 ? value : value & (width === 2 ? 0xffff : 0xff);
    out[1] = width === 8 ? this.#read((offset + 4) % ALIAS) : 0;
  }

  writeBar(_bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    const at = offset % ALIAS;
    this.#write(at, lo & (width === 1 ? 0xff : width === 2 ? 0xffff : 0xffffffff), Math.min(width, 4));
    if (width === 8) this.#write(at + 4, hi, 4);
  }

  protected onReset(): void {
    this.#toPowerOn();
  }

  #toPowerOn(): void {
    for (const [offset, { reset = 0 }] of regs.HDA_REGISTERS) this.#values.set(offset, reset);
    this.#started = this.#now();
  }

  #get(offset: number): number {
    return this.#values.get(offset) ?? 0;
  }

  #read(offset: number): number {
    const inControl = byteOfControl(offset);
    if (inControl) return this.#get(offset - inControl) >>> (inControl * 8);
    if (offset === regs.WALCLK) return Math.floor((this.#now() - this.#started) * WALL_CLOCK_PER_MILLISECOND) >>> 0;
    return this.#get(offset);
  }

  #write(offset: number, value: number, width: number): void {
    const inControl = byteOfControl(offset);
    if (inControl) {
      this.#writeControlByte(offset - inControl, (value << (inControl * 8)) >>> 0, inControl);
      return;
    }
    const register = regs.HDA_REGISTERS.get(offset);
    if (!register) return;
    const { write = 0, rw1c = 0, size } = register;
    const reached = width >= size ? 0xffffffff : 2 ** (width * 8) - 1;
    const old = this.#get(offset);
    const mask = write & reached;
    this.#values.set(offset, (((old & ~mask) | (value & mask)) & ~(value & rw1c & reached)) >>> 0);
    this.#effect(offset, old);
  }

  #writeControlByte(at: number, value: number, byte: number): void {
    const old = this.#get(at);
    const mask = byte === regs.SDNUMBER ? regs.SDCTL_STREAM : 0;
    this.#values.set(at, (((old & ~mask) | (value & mask)) & ~(value & regs.SDSTS_EVENTS)) >>> 0);
    this.#updateInterrupt();
  }

  #effect(offset: number, old: number): void {
    switch (offset) {
      case regs.GCTL:
        this.#globalReset();
        break;
      case regs.CORBRP:
        if (this.#get(offset) & regs.CORBRP_RESET) this.#values.set(offset, 0);
        break;
      case regs.RIRBWP:
        if (this.#get(offset) & regs.RIRBWP_RESET) this.#values.set(offset, 0);
        break;
      case regs.CORBWP:
      case regs.CORBCTL:
        this.#runCommands();
        break;
      case regs.ICIS:
        // An immediate command that nobody answers stays busy until software gives up.
        if (this.#get(offset) & ~old & regs.ICIS_BUSY) this.#values.set(offset, regs.ICIS_BUSY);
        break;
    }
    if (offset >= regs.STREAM_BASE) this.#streamReset(offset);
    this.#updateInterrupt();
  }

  /** With CRST clear every register but GCTL and the wake registers is at its power-on value. */
  #globalReset(): void {
    const control = this.#get(regs.GCTL);
    if (control & regs.GCTL_CRST) return;
    this.#toPowerOn();
    this.#values.set(regs.GCTL, control);
  }

  #streamReset(offset: number): void {
    const at = offset - ((offset - regs.STREAM_BASE) % regs.STREAM_SIZE);
    const control = this.#get(at + regs.SDCTL);
    if (offset !== at + regs.SDCTL || !(control & regs.SDCTL_RESET)) return;
    for (let register = 0; register < regs.STREAM_SIZE; register += 2) {
      const definition = regs.HDA_REGISTERS.get(at + register);
      if (definition) this.#values.set(at + register, definition.reset ?? 0);
    }
    this.#values.set(at + regs.SDCTL, regs.SDSTS_FIFO_READY | regs.SDCTL_RESET);
  }

  /** Fetch verbs up to the write pointer. Memory that cannot be read stops the engine with its error bit. */
  #runCommands(): void {
    if (!(this.#get(regs.CORBCTL) & regs.CORBCTL_RUN)) return;
    const verb = new Uint8Array(VERB_SIZE);
    const last = this.#get(regs.CORBWP) & RING_MASK;
    let at = this.#get(regs.CORBRP) & RING_MASK;
    while (at !== last) {
      const next = (at + 1) & RING_MASK;
      const address = this.#get(regs.CORBLBASE) + next * VERB_SIZE;
      if (!this.dma.read(this.#get(regs.CORBUBASE), address >>> 0, verb)) {
        this.#values.set(regs.CORBCTL, this.#get(regs.CORBCTL) & ~regs.CORBCTL_RUN);
        break;
      }
      at = next;
    }
    this.#values.set(regs.CORBRP, at);
  }

  #updateInterrupt(): void {
    const control = this.#get(regs.INTCTL);
    const response = this.#get(regs.RIRBSTS) & this.#get(regs.RIRBCTL) & regs.RIRBCTL_INTERRUPT;
    const status = response ? regs.INTCTL_CIE : 0;
    const before = this.#get(regs.INTSTS);
    const wanted = (control & regs.INTCTL_GIE) !== 0 && (status & control) !== 0;
    this.#values.set(regs.INTSTS, (status | (wanted ? regs.INTCTL_GIE : 0)) >>> 0);
    if (this.msi?.enabled) {
      if (wanted && !(before & regs.INTCTL_GIE)) this.signal(0);
    } else this.setIntx(wanted);
  }
}

/** How far above its stream's control register a byte is that can be reached alone; 0 for everything else. */
function byteOfControl(offset: number): number {
  const at = offset - regs.STREAM_BASE;
  if (at < 0 || at >= regs.STREAMS * regs.STREAM_SIZE) return 0;
  const register = at % regs.STREAM_SIZE;
  return register === regs.SDNUMBER || register === regs.SDSTS ? register : 0;
}
