// The serial port COM1: a 16550A UART between the guest and the user's terminal.
// Source: National Semiconductor PC16550D data sheet (registers, section 8; FIFO interrupts, 8.11); Linux
// drivers/tty/serial/8250/8250_port.c for what a driver expects of one (autoconfig, serial8250_do_startup).
// The line has no speed: a byte is sent while it is written, so the transmitter is always empty; bytes below the FIFO's
// trigger level are reported as timed out at once. The terminal is a modem that is there (DCD, DSR, CTS) and minds the
// handshake: bytes wait in the console while the guest keeps RTS low, so what is typed before a driver has opened the port
// is not lost when that driver clears the FIFO. A guest that does without the handshake polls LSR: at the second look in a
// row it gets a byte all the same. Break, parity and word length do nothing.
// Invariants: IIR names the most urgent cause of an interrupt; the interrupt is high exactly while there is one, OUT2 is
// set and the port is not in loopback.
import type { ConsolePort } from "../../console.ts";
import { PORT_COM1 } from "./memory-map.ts";
import { ByteDevice, type PortBus } from "./ports.ts";

const UART_RX_TX = 0;
const UART_IER = 1;
const UART_IIR_FCR = 2;
const UART_LCR = 3;
const UART_MCR = 4;
const UART_LSR = 5;
const UART_MSR = 6;
const UART_SCR = 7;
const UART_REGISTERS = 8;

const UART_IER_RDI = 0x01;
const UART_IER_THRI = 0x02;
const UART_IER_RLSI = 0x04;
const UART_IER_MSI = 0x08;
const UART_IER_ALL = 0x0f;

const UART_IIR_MSI = 0x00;
const UART_IIR_NO_INT = 0x01;
const UART_IIR_THRI = 0x02;
const UART_IIR_RDI = 0x04;
const UART_IIR_RLSI = 0x06;
const UART_IIR_RX_TIMEOUT = 0x0c;
const UART_IIR_FIFO_ENABLED = 0xc0;

const UART_FCR_ENABLE_FIFO = 0x01;
const UART_FCR_CLEAR_RCVR = 0x02;
const FIFO_SIZE = 16;
/** By the top two bits of FCR. */
const TRIGGER_LEVELS = [1, 4, 8, 14];

const UART_LCR_DLAB = 0x80;

const UART_MCR_DTR = 0x01;
const UART_MCR_RTS = 0x02;
const UART_MCR_OUT1 = 0x04;
const UART_MCR_OUT2 = 0x08;
const UART_MCR_LOOP = 0x10;
const UART_MCR_ALL = 0x1f;

const UART_LSR_DR = 0x01;
const UART_LSR_OE = 0x02;
const UART_LSR_THRE_TEMT = 0x60;

const UART_MSR_CTS = 0x10;
const UART_MSR_DSR = 0x20;
const UART_MSR_RI = 0x40;
const UART_MSR_DCD = 0x80;
/** Changes of CTS, DSR and DCD are told in the low half of MSR; of RI only that it went away. */
const CHANGES_TOLD = UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;

const DIVISOR_9600 = 12;

export class Uart extends ByteDevice {
  private readonly console: ConsolePort;
  private readonly irq: (level: boolean) => void;
  private level = false;

  private ier = 0;
  private lcr = 0;
  private mcr = 0;
  private scratch = 0;
  private divisorLow = DIVISOR_9600;
  private divisorHigh = 0;

  private fifoOn = false;
  private trigger = 1;
  private readonly fifo = new Uint8Array(FIFO_SIZE);
  private fifoHead = 0;
  private fifoCount = 0;
  private overrun = false;
  /** The transmitter has become empty, and the guest has not been told. */
  private emptied = false;
  private modem = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
  private modemChanges = 0;
  /** The last access was a look at LSR. */
  private polled = false;
  private readonly one = new Uint8Array(1);

  constructor(console: ConsolePort, irq: (level: boolean) => void) {
    super();
    this.console = console;
    this.irq = irq;
    console.onInputReady = () => {
      this.fill();
      this.update();
    };
  }

  attach(ports: PortBus): void {
    ports.claim(PORT_COM1, UART_REGISTERS, this);
  }

  protected override readByte(port: number): number {
    const dlab = (this.lcr & UART_LCR_DLAB) !== 0;
    const again = this.polled;
    this.polled = (port & 7) === UART_LSR;
    switch (port & 7) {
      case UART_RX_TX:
        return dlab ? this.divisorLow : this.receive();
      case UART_IER:
        return dlab ? this.divisorHigh : this.ier;
      case UART_IIR_FCR:
        return this.identify();
      case UART_LCR:
        return this.lcr;
      case UART_MCR:
        return this.mcr;
      case UART_LSR:
        return this.lineStatus(again);
      case UART_MSR:
        return this.modemStatus();
      default:
        return this.scratch;
    }
  }

  protected override writeByte(port: number, value: number): void {
    const dlab = (this.lcr & UART_LCR_DLAB) !== 0;
    this.polled = false;
    switch (port & 7) {
      case UART_RX_TX:
        if (dlab) this.divisorLow = value;
        else this.transmit(value);
        break;
      case UART_IER:
        if (dlab) this.divisorHigh = value;
        else this.enableInterrupts(value & UART_IER_ALL);
        break;
      case UART_IIR_FCR:
        this.controlFifo(value);
        break;
      case UART_LCR:
        this.lcr = value;
        break;
      case UART_MCR:
        this.controlModem(value & UART_MCR_ALL);
        break;
      case UART_SCR:
        this.scratch = value;
        break;
      // LSR and MSR are written in factory tests only.
    }
  }

  private get looped(): boolean {
    return (this.mcr & UART_MCR_LOOP) !== 0;
  }

  private get capacity(): number {
    return this.fifoOn ? FIFO_SIZE : 1;
  }

  private receive(): number {
    let byte = 0;
    if (this.fifoCount > 0) {
      byte = this.fifo[this.fifoHead]!;
      this.fifoHead = (this.fifoHead + 1) % FIFO_SIZE;
      this.fifoCount--;
    }
    this.fill();
    this.update();
    return byte;
  }

  private transmit(value: number): void {
    if (this.looped) this.store(value);
    else {
      this.one[0] = value;
      this.console.put(this.one, 1);
    }
    // One byte a time, the request goes away and comes again, which an edge shows. With FIFOs on, the bytes of a burst
    // leave together: one request for all of them.
    if (!this.fifoOn) {
      this.emptied = false;
      this.update();
    }
    this.emptied = true;
    this.update();
  }

  /** Takes what waits in the console while there is room and the guest lets it come. */
  private fill(): void {
    if (this.looped || (this.mcr & UART_MCR_RTS) === 0) return;
    while (this.fifoCount < this.capacity && this.console.take(this.one) === 1) this.store(this.one[0]!);
  }

  private store(byte: number): void {
    if (this.fifoCount === this.capacity) {
      this.overrun = true;
      // A FIFO keeps what it has; the single register has the new byte.
      if (!this.fifoOn) this.fifo[this.fifoHead] = byte;
      return;
    }
    this.fifo[(this.fifoHead + this.fifoCount) % FIFO_SIZE] = byte;
    this.fifoCount++;
  }

  private enableInterrupts(value: number): void {
    // Drivers rely on this: to enable the interrupt of an empty transmitter is to get one.
    if ((value & ~this.ier & UART_IER_THRI) !== 0) this.emptied = true;
    this.ier = value;
    this.update();
  }

  private controlFifo(value: number): void {
    const on = (value & UART_FCR_ENABLE_FIFO) !== 0;
    if (on !== this.fifoOn || (on && (value & UART_FCR_CLEAR_RCVR) !== 0)) this.fifoCount = 0;
    this.fifoOn = on;
    this.trigger = on ? TRIGGER_LEVELS[value >> 6]! : 1;
    this.fill();
    this.update();
  }

  private controlModem(value: number): void {
    this.mcr = value;
    const lines = this.looped ? loopedLines(value) : UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
    const changed = (lines ^ this.modem) & CHANGES_TOLD;
    const wentAway = this.modem & ~lines & UART_MSR_RI;
    this.modemChanges |= (changed | wentAway) >> 4;
    this.modem = lines;
    this.fill();
    this.update();
  }

  private identify(): number {
    const cause = this.cause();
    if (cause === UART_IIR_THRI) {
      this.emptied = false;
      this.update();
    }
    return cause | (this.fifoOn ? UART_IIR_FIFO_ENABLED : 0);
  }

  private lineStatus(again: boolean): number {
    const held = !this.looped && (this.mcr & UART_MCR_RTS) === 0;
    if (again && held && this.fifoCount === 0 && this.console.take(this.one) === 1) this.store(this.one[0]!);
    const status = UART_LSR_THRE_TEMT | (this.fifoCount > 0 ? UART_LSR_DR : 0) | (this.overrun ? UART_LSR_OE : 0);
    this.overrun = false;
    this.update();
    return status;
  }

  private modemStatus(): number {
    const status = this.modem | this.modemChanges;
    this.modemChanges = 0;
    this.update();
    return status;
  }

  /** The most urgent cause that is enabled, as IIR gives it. */
  private cause(): number {
    const { ier } = this;
    if (ier & UART_IER_RLSI && this.overrun) return UART_IIR_RLSI;
    if (ier & UART_IER_RDI && this.fifoCount > 0) {
      return this.fifoCount >= this.trigger ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
    }
    if (ier & UART_IER_THRI && this.emptied) return UART_IIR_THRI;
    if (ier & UART_IER_MSI && this.modemChanges !== 0) return UART_IIR_MSI;
    return UART_IIR_NO_INT;
  }

  private update(): void {
    const gated = (this.mcr & UART_MCR_OUT2) !== 0 && !this.looped;
    const level = gated && this.cause() !== UART_IIR_NO_INT;
    if (level === this.level) return;
    this.level = level;
    this.irq(level);
  }
}

/** In loopback the four outputs are the four inputs. */
function loopedLines(mcr: number): number {
  let lines = 0;
  if (mcr & UART_MCR_RTS) lines |= UART_MSR_CTS;
  if (mcr & UART_MCR_DTR) lines |= UART_MSR_DSR;
  if (mcr & UART_MCR_OUT1) lines |= UART_MSR_RI;
  if (mcr & UART_MCR_OUT2) lines |= UART_MSR_DCD;
  return lines;
}
