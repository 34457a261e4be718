// Switching the machine off and on again: ACPI's fixed hardware (PM1 events and control, the power management timer), and
// the ports that reset it (reset-ports.ts).
// Source: ACPI 6.4 sections 4.8.3 and 4.8.4.
// The machine is always in ACPI mode (SCI_EN reads one), has one sleep state (S5: off), and one event: the power button.
// The timer counts 32 bits at 3.579545 MHz; that it runs over is no event.
// Invariant: the SCI is high exactly while an event has happened that is enabled.
import { PORT_PM, SLP_TYP_S5 } from "./memory-map.ts";
import { ByteDevice, type PortBus, type PortWidth } from "./ports.ts";
import { ResetPorts } from "./reset-ports.ts";

export interface PowerControlOptions {
  /** The guest wants the machine to end. */
  stop(reason: "power-off" | "reset"): void;
  /** Level of the system control interrupt. */
  sci(level: boolean): void;
  /** Milliseconds from anywhere, never backwards. */
  now(): number;
}

/** Registers by their offset in the block. */
const PM1_STATUS = 0;
const PM1_ENABLE = 2;
const PM1_CONTROL = 4;
const PM_TIMER = 8;
const PM_BLOCK_SIZE = 12;

const PWRBTN = 0x0100;
/** Timer, global lock, power and sleep button, clock: what drivers enable and read back. */
const PM1_ENABLE_BITS = 0x0721;

const SCI_EN = 0x0001;
const BM_RLD = 0x0002;
const SLP_TYP_SHIFT = 10;
const SLP_TYP = 0x1c00;
const SLP_EN = 0x2000;

const TICKS_PER_MS = 3579.545;

export class PowerControl extends ByteDevice {
  private readonly options: PowerControlOptions;
  private status = 0;
  private enable = 0;
  private control = SCI_EN;
  private sciLevel = false;

  constructor(options: PowerControlOptions) {
    super();
    this.options = options;
  }

  attach(ports: PortBus): void {
    ports.claim(PORT_PM, PM_BLOCK_SIZE, this);
    new ResetPorts(() => this.options.stop("reset")).attach(ports);
  }

  /** A guest that listens to its power button shuts down; others take no notice. */
  pressPowerButton(): void {
    this.status |= PWRBTN;
    this.updateSci();
  }

  /** The timer is read in one piece. */
  override read(port: number, width: PortWidth): number {
    return port === PORT_PM + PM_TIMER && width === 4 ? this.timer() : super.read(port, width);
  }

  protected override readByte(port: number): number {
    const offset = port - PORT_PM;
    if (offset >= PM_TIMER) return (this.timer() >>> ((offset - PM_TIMER) * 8)) & 0xff;
    return (this.register(offset & ~1) >>> ((offset & 1) * 8)) & 0xff;
  }

  protected override writeByte(port: number, value: number): void {
    const offset = port - PORT_PM;
    const shift = (offset & 1) * 8;
    const bits = value << shift;
    const kept = 0xff00 >>> shift;
    switch (offset & ~1) {
      case PM1_STATUS:
        this.status &= ~bits;
        break;
      case PM1_ENABLE:
        this.enable = (this.enable & kept) | (bits & PM1_ENABLE_BITS);
        break;
      case PM1_CONTROL:
        this.control = (this.control & kept) | (bits & (BM_RLD | SLP_TYP)) | SCI_EN;
        if (bits & SLP_EN && (bits & SLP_TYP) >>> SLP_TYP_SHIFT === SLP_TYP_S5) this.options.stop("power-off");
        break;
    }
    this.updateSci();
  }

  private register(offset: number): number {
    if (offset === PM1_STATUS) return this.status;
    if (offset === PM1_ENABLE) return this.enable;
    return offset === PM1_CONTROL ? this.control : 0;
  }

  private timer(): number {
    return Math.floor((this.options.now() * TICKS_PER_MS) % 0x1_0000_0000);
  }

  private updateSci(): void {
    const level = (this.status & this.enable) !== 0;
    if (level === this.sciLevel) return;
    this.sciLevel = level;
    this.options.sci(level);
  }
}
