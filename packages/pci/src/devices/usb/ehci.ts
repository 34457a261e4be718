// An enhanced host controller (EHCI 1.0) with six empty ports, two of them for each companion: capability and
// operational registers, reset, run and halt with the frame index and roll-over, the doorbell of the asynchronous
// schedule, and the interrupts these cause. With no device on the bus there is nothing to transfer.
import type { BarWidth } from "../../bar.ts";
import { PciDevice } from "../../device.ts";
import { type After, realAfter } from "../timer.ts";

const BAR_SIZE = 0x1000;
const CAPLENGTH = 0x00;
const HCSPARAMS = 0x04;
const HCCPARAMS = 0x08;
const OPERATIONAL = 0x20;
const USBCMD = 0x20;
const USBSTS = 0x24;
const USBINTR = 0x28;
const FRINDEX = 0x2c;
const CTRLDSSEGMENT = 0x30;
const PERIODICLISTBASE = 0x34;
const ASYNCLISTADDR = 0x38;
const CONFIGFLAG = 0x60;
const PORTSC = 0x64;
const PORTS = 6;

const VERSION_1_0 = 0x0100;
const PORTS_PER_COMPANION = 2;
/** Extended capabilities at 0x68 of configuration space, isochronous threshold, 64-bit pointers missing. */
const HCCPARAMS_VALUE = 0x0000_6880;
const CMD_RUN = 0x0000_0001;
const CMD_RESET = 0x0000_0002;
const CMD_PERIODIC = 0x0000_0010;
const CMD_ASYNC = 0x0000_0020;
const CMD_DOORBELL = 0x0000_0040;
/** Interrupt threshold: eight microframes. */
const CMD_DEFAULT = 0x0008_0000;
const STS_ROLLOVER = 0x0000_0008;
const STS_ASYNC_ADVANCE = 0x0000_0020;
const STS_HALTED = 0x0000_1000;
const STS_PERIODIC = 0x0000_4000;
const STS_ASYNC = 0x0000_8000;
const STS_CLEARABLE = 0x0000_003f;
const PORT_POWER = 0x0000_1000;
const PORT_OWNER = 0x0000_2000;
/** Wake events, reset, suspend, resume. */
const PORT_WRITABLE = 0x0070_01c0;
const FRINDEX_MASK = 0x3ff8;
const ROLLOVER_BIT = 0x2000;
const MICROFRAMES = 8;

const SBRN = 0x60;
const FLADJ = 0x61;
const LEGSUP = 0x68;

export interface EhciOptions {
  /** UHCI controllers that the first ports belong to until this controller is configured, 0..3. Default 2. */
  readonly companions?: number;
  /** Firmware has configured it. Default false. */
  readonly configured?: boolean;
  readonly after?: After;
}

export class EhciDevice extends PciDevice {
  readonly #after: After;
  #command = CMD_DEFAULT;
  #status = STS_HALTED;
  #enable = 0;
  #frame = 0;
  #periodic = 0;
  #async = 0;
  #configured = 0;
  #segment = 0;
  /** Reserved registers between the list addresses and CONFIGFLAG; they keep what is written. */
  readonly #reserved = new Uint32Array((CONFIGFLAG - ASYNCLISTADDR - 4) >> 2);
  readonly #companions: number;
  readonly #ports = new Uint32Array(PORTS);
  #timer: { cancel(): void } | null = null;

  constructor(options: EhciOptions = {}) {
    super({
      vendor: 0x8086,
      device: 0x293a,
      classCode: 0x0c0320,
      revision: 3,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: 4,
    });
    this.#after = options.after ?? realAfter;
    this.#companions = Math.min(PORTS / PORTS_PER_COMPANION, Math.max(0, options.companions ?? 2));
    this.#configure(options.configured ? 1 : 0);
    this.config.define(SBRN, 1, { value: 0x20, write: 0xff, sticky: 0xff });
    this.config.define(FLADJ, 1, { value: 0x20, write: 0xff, sticky: 0xff });
    this.config.define(LEGSUP, 1, { value: 0x01, write: 0xff, sticky: 0xff });
    this.addBar({ index: 0, type: "mem32", size: BAR_SIZE, prefetchable: false });
  }

  readBar(_bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    out[1] = width === 8 ? this.#read((offset & ~3) + 4) : 0;
    const word = this.#read(offset & ~3);
    if (width >= 4) out[0] = word;
    // Capability registers can be read in parts, the others cannot.
    else if (offset >= OPERATIONAL) out[0] = 0;
    else out[0] = (word >>> ((offset & 3) * 8)) & (width === 2 ? 0xffff : 0xff);
  }

  writeBar(_bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (width < 4 || offset & 3) return;
    this.#write(offset, lo >>> 0);
    if (width === 8) this.#write(offset + 4, hi >>> 0);
  }

  override close(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  protected onReset(): void {
    this.close();
    this.#command = CMD_DEFAULT;
    this.#status = STS_HALTED;
    this.#enable = 0;
    this.#frame = 0;
    this.#periodic = 0;
    this.#async = 0;
    this.#segment = 0;
    this.#reserved.fill(0);
    this.#ports.fill(0);
    this.#configure(0);
  }

  #read(offset: number): number {
    switch (offset) {
      case CAPLENGTH:
        return (VERSION_1_0 << 16) | OPERATIONAL;
      case HCSPARAMS:
        return PORTS | (PORTS_PER_COMPANION << 8) | (this.#companions << 12);
      case HCCPARAMS:
        return HCCPARAMS_VALUE;
      case USBCMD:
        return this.#command;
      case USBSTS:
        return this.#status;
      case USBINTR:
        return this.#enable;
      case FRINDEX:
        return this.#frame;
      case CTRLDSSEGMENT:
        return this.#segment;
      case PERIODICLISTBASE:
        return this.#periodic;
      case ASYNCLISTADDR:
        return this.#async;
      case CONFIGFLAG:
        return this.#configured;
      default:
        return (
          (isReserved(offset)
            ? this.#reserved[(offset - ASYNCLISTADDR - 4) >> 2]
            : this.#ports[(offset - PORTSC) >> 2]) ?? 0
        );
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case USBCMD:
        this.#setCommand(value);
        break;
      case USBSTS:
        this.#status &= ~(value & STS_CLEARABLE);
        this.#updateInterrupt();
        break;
      case USBINTR:
        this.#enable = value & STS_CLEARABLE;
        this.#updateInterrupt();
        break;
      case FRINDEX:
        if (this.#status & STS_HALTED) this.#frame = value & FRINDEX_MASK;
        break;
      case CTRLDSSEGMENT:
        this.#segment = value;
        break;
      case PERIODICLISTBASE:
        this.#periodic = value;
        break;
      case ASYNCLISTADDR:
        this.#async = value;
        break;
      case CONFIGFLAG:
        this.#configure(value & 1);
        break;
      default:
        if (isReserved(offset)) this.#reserved[(offset - ASYNCLISTADDR - 4) >> 2] = value;
        else this.#writePort((offset - PORTSC) >> 2, value);
    }
  }

  /** Configured: ports are this controller's; otherwise those of companions are theirs. */
  #configure(flag: number): void {
    this.#configured = flag;
    for (let port = 0; port < PORTS; port++) {
      const theirs = flag === 0 && port < this.#companions * PORTS_PER_COMPANION;
      this.#ports[port] = (this.#ports[port]! & ~PORT_OWNER) | PORT_POWER | (theirs ? PORT_OWNER : 0);
    }
  }

  #writePort(port: number, value: number): void {
    const old = this.#ports[port];
    if (old === undefined) return;
    // An empty port never becomes enabled.
    const writable = PORT_WRITABLE | (port < this.#companions * PORTS_PER_COMPANION ? PORT_OWNER : 0);
    this.#ports[port] = ((old & ~writable) | (value & writable)) >>> 0;
  }

  #setCommand(value: number): void {
    if (value & CMD_RESET) {
      this.onReset();
      this.#updateInterrupt();
      return;
    }
    this.#command = value & ~CMD_DOORBELL;
    const running = (value & CMD_RUN) !== 0;
    const schedules = (value & CMD_PERIODIC ? STS_PERIODIC : 0) | (value & CMD_ASYNC ? STS_ASYNC : 0);
    this.#status &= ~(STS_PERIODIC | STS_ASYNC | STS_HALTED);
    this.#status |= running ? schedules : STS_HALTED;
    // Nothing is cached, so the schedule has always advanced.
    if (value & CMD_DOORBELL && running && value & CMD_ASYNC) this.#status |= STS_ASYNC_ADVANCE;
    if (running) this.#timer ??= this.#after(1, this.#tick);
    else this.close();
    this.#updateInterrupt();
  }

  readonly #tick = (): void => {
    this.#timer = null;
    if (this.#status & STS_HALTED) return;
    const before = this.#frame;
    this.#frame = (before + MICROFRAMES) & FRINDEX_MASK;
    if ((before ^ this.#frame) & ROLLOVER_BIT) this.#status |= STS_ROLLOVER;
    this.#timer = this.#after(1, this.#tick);
    this.#updateInterrupt();
  };

  #updateInterrupt(): void {
    this.setIntx((this.#status & this.#enable & STS_CLEARABLE) !== 0);
  }
}

const isReserved = (offset: number): boolean => offset > ASYNCLISTADDR && offset < CONFIGFLAG;
