// A universal host controller (UHCI 1.1) with two empty root ports: the I/O registers, the frame counter, and a schedule
// that is walked as long as the controller runs. Transfers address devices that are not there, so each active descriptor
// ends with a time-out error, as on a bus that nobody answers on.
// Registers are 16 bits wide; wider accesses are several of them, single bytes get the low half of what they address.
import type { BarWidth } from "../../bar.ts";
import type { ResetKind } from "../../config-space.ts";
import { PciDevice } from "../../device.ts";
import { type After, realAfter } from "../timer.ts";
import { walkFrame } from "./uhci-schedule.ts";

const USBCMD = 0x00;
const USBSTS = 0x02;
const USBINTR = 0x04;
const FRNUM = 0x06;
const FLBASEADD = 0x08;
const SOFMOD = 0x0c;
const PORTSC = 0x10;
const PORTSC_END = 0x20;
const PORTS = 2;

const CMD_RUN = 0x0001;
const CMD_HOST_RESET = 0x0002;
const CMD_GLOBAL_RESET = 0x0004;
const CMD_RESUME = 0x0010;
const STS_INTERRUPT = 0x0001;
const STS_ERROR = 0x0002;
const STS_HOST_ERROR = 0x0008;
const STS_HALTED = 0x0020;
const STS_CLEARABLE = 0x001f;
const INTR_TIMEOUT = 0x0001;
const INTR_COMPLETE = 0x0004;
const PORT_RESERVED_ONE = 0x0080;
const PORT_WRITABLE = 0xfe40;
const NO_REGISTER = 0xff7f;
const SOFMOD_DEFAULT = 0x40;
const FRAME_MASK = 0x7ff;
const FRAME_MILLISECONDS = 1;

const SBRN = 0x60;
const USB_CLOCK = 0x6a;
const LEGSUP = 0xc0;
/** The kernel took the controller from firmware: all traps off, their status cleared. */
const LEGSUP_TAKEN = 0x8f00;

export interface UhciOptions {
  /** Which of the ICH9's controllers: 1 to 6. Default 1. */
  readonly controller?: number;
  readonly after?: After;
}

/** Device ids and pins of the ICH9's six controllers. */
const CONTROLLERS = [
  { device: 0x2934, pin: 1 },
  { device: 0x2935, pin: 2 },
  { device: 0x2936, pin: 3 },
  { device: 0x2937, pin: 1 },
  { device: 0x2938, pin: 2 },
  { device: 0x2939, pin: 3 },
] as const;

export class UhciDevice extends PciDevice {
  readonly #after: After;
  #command = 0;
  #status = STS_HALTED;
  #enable = 0;
  #frame = 0;
  #frameList = 0;
  #sofModify = SOFMOD_DEFAULT;
  readonly #ports = new Uint16Array(PORTS).fill(PORT_RESERVED_ONE);
  #timer: { cancel(): void } | null = null;

  constructor(options: UhciOptions = {}) {
    const { device, pin } = CONTROLLERS[(options.controller ?? 1) - 1] ?? CONTROLLERS[0];
    super({
      vendor: 0x8086,
      device,
      classCode: 0x0c0300,
      revision: 3,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: pin,
    });
    this.#after = options.after ?? realAfter;
    this.config.define(SBRN, 1, { value: 0x10, write: 0xff, sticky: 0xff });
    this.config.define(USB_CLOCK, 1, { value: 1, write: 0xff, sticky: 0xff });
    this.config.define(LEGSUP, 2, { value: LEGSUP_TAKEN, write: 0xffff, sticky: 0xffff });
    this.addBar({ index: 4, type: "io", size: 0x20, prefetchable: false });
  }

  readBar(_bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    out[1] = 0;
    if (width === 1) out[0] = this.#read(offset) & 0xff;
    else if (width === 2) out[0] = this.#read(offset);
    else {
      out[0] = (this.#read(offset) | (this.#read(offset + 2) << 16)) >>> 0;
      if (width === 8) out[1] = (this.#read(offset + 4) | (this.#read(offset + 6) << 16)) >>> 0;
    }
  }

  writeBar(_bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    this.#write(offset, lo & (width === 1 ? 0xff : 0xffff));
    if (width < 4) return;
    this.#write(offset + 2, lo >>> 16);
    if (width === 4) return;
    this.#write(offset + 4, hi & 0xffff);
    this.#write(offset + 6, hi >>> 16);
  }

  override close(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Everything but the frame number, which goes on from where it was unless power was off. */
  protected onReset(kind: ResetKind): void {
    if (kind === "power") this.#frame = 0;
    this.close();
    this.#command = 0;
    this.#status = STS_HALTED;
    this.#enable = 0;
    this.#frameList = 0;
    this.#sofModify = SOFMOD_DEFAULT;
    this.#ports.fill(PORT_RESERVED_ONE);
  }

  #read(offset: number): number {
    if (offset >= PORTSC && offset < PORTSC_END) return this.#ports[(offset - PORTSC) >> 1] ?? NO_REGISTER;
    switch (offset) {
      case USBCMD:
        return this.#command;
      case USBSTS:
        return this.#status;
      case USBINTR:
        return this.#enable;
      case FRNUM:
        return this.#frame;
      case FLBASEADD:
        return this.#frameList & 0xffff;
      case FLBASEADD + 2:
        return this.#frameList >>> 16;
      case SOFMOD:
        return this.#sofModify;
      default:
        return NO_REGISTER;
    }
  }

  #write(offset: number, value: number): void {
    if (offset >= PORTSC && offset < PORTSC_END) {
      const port = (offset - PORTSC) >> 1;
      const old = this.#ports[port];
      // An empty port can be reset and suspended; it never becomes enabled.
      if (old !== undefined) this.#ports[port] = (old & ~PORT_WRITABLE) | (value & PORT_WRITABLE);
      return;
    }
    switch (offset) {
      case USBCMD:
        this.#setCommand(value);
        break;
      case USBSTS:
        this.#status &= ~(value & STS_CLEARABLE);
        this.#updateInterrupt();
        break;
      case USBINTR:
        this.#enable = value;
        this.#updateInterrupt();
        break;
      case FRNUM:
        if (this.#status & STS_HALTED) this.#frame = value & FRAME_MASK;
        break;
      case FLBASEADD:
        this.#frameList = ((this.#frameList & 0xffff0000) | (value & 0xf000)) >>> 0;
        break;
      case FLBASEADD + 2:
        this.#frameList = ((this.#frameList & 0xffff) | (value << 16)) >>> 0;
        break;
      case SOFMOD:
        this.#sofModify = value & 0xff;
        break;
    }
  }

  #setCommand(value: number): void {
    if (value & (CMD_HOST_RESET | CMD_GLOBAL_RESET)) {
      this.onReset("bus");
      this.#updateInterrupt();
      return;
    }
    this.#command = value & ~CMD_RESUME;
    if (value & CMD_RUN) {
      this.#status &= ~STS_HALTED;
      this.#timer ??= this.#after(FRAME_MILLISECONDS, this.#tick);
    } else {
      this.#status |= STS_HALTED;
      this.close();
    }
  }

  readonly #tick = (): void => {
    this.#timer = null;
    if (!(this.#command & CMD_RUN)) return;
    const result = walkFrame(this.dma, this.#frameList + (this.#frame & 0x3ff) * 4);
    this.#frame = (this.#frame + 1) & FRAME_MASK;
    if (result === "refused") {
      this.#status |= STS_HOST_ERROR | STS_HALTED;
      this.#command &= ~CMD_RUN;
    } else {
      if (result.failed) this.#status |= STS_ERROR;
      if (result.interrupt) this.#status |= STS_INTERRUPT;
      this.#timer = this.#after(FRAME_MILLISECONDS, this.#tick);
    }
    this.#updateInterrupt();
  };

  #updateInterrupt(): void {
    const complete = (this.#status & STS_INTERRUPT) !== 0 && (this.#enable & INTR_COMPLETE) !== 0;
    const failed = (this.#status & STS_ERROR) !== 0 && (this.#enable & INTR_TIMEOUT) !== 0;
    this.setIntx(complete || failed || (this.#status & STS_HOST_ERROR) !== 0);
  }
}
