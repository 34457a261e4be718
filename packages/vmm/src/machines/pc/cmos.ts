// The real-time clock and its battery-backed memory behind ports 0x70 (index) and 0x71 (data).
// Source: Motorola MC146818A data sheet; IBM PC/AT technical reference for the memory's layout; where the century and the
// sizes of large memory are, as QEMU 7.2 has them (hw/i386/pc.c), whose guests know them from there.
// The clock is the host's, in UTC, plus what the guest has set it ahead. It stands still while the guest sets it (SET) or
// holds the divider in reset, and goes on from what was set; half a second after a reset of the divider the next one comes.
// UIP is up for the 2228 us of an update, then the new second is there.
// There are no interrupts: those of period, alarm and update cannot be enabled (their bits in register B read zero) and
// register C reads zero. Alarm registers are memory, and the day of the week follows from the date.
// Invariant: whatever bytes the guest sets as a date, a date is what it reads; no register access throws.
import { PORT_CMOS } from "./memory-map.ts";
import { ByteDevice, type PortBus } from "./ports.ts";

export interface CmosOptions {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** RAM from address 0 up. */
  readonly lowRamBytes: number;
  /** RAM from 4 GiB up. */
  readonly highRamBytes: number;
}

const RTC_SECONDS = 0x00;
const RTC_MINUTES = 0x02;
const RTC_HOURS = 0x04;
const RTC_DAY_OF_WEEK = 0x06;
const RTC_DAY_OF_MONTH = 0x07;
const RTC_MONTH = 0x08;
const RTC_YEAR = 0x09;
const RTC_REG_A = 0x0a;
const RTC_REG_B = 0x0b;
const RTC_REG_C = 0x0c;
const RTC_REG_D = 0x0d;
const RTC_CENTURY = 0x32;

const RTC_UIP = 0x80;
/** A divider of 11x stands still. */
const RTC_DIV_RESET = 0x60;
/** 32768 Hz, 1024 periods a second. */
const REG_A_DEFAULT = 0x26;
const RTC_SET = 0x80;
const RTC_DM_BINARY = 0x04;
const RTC_24H = 0x02;
/** Without the three interrupt enables. */
const REG_B_WRITABLE = 0x8f;
const RTC_VRT = 0x80;
const RTC_PM = 0x80;

const UPDATE_MS = 2.228;
const AFTER_DIVIDER_RESET_MS = 500;

const EQUIPMENT = 0x14;
const EQUIPMENT_FPU = 0x02;
const BASE_MEMORY_KIB = 640;
const KIB = 1024;
const MIB = KIB * KIB;

export class Cmos extends ByteDevice {
  private readonly now: () => number;
  private readonly memory = new Uint8Array(128);
  private index = 0;
  private registerA = REG_A_DEFAULT;
  private registerB = RTC_24H;
  /** Milliseconds that the guest's clock is ahead of the host's. */
  private ahead = 0;
  /** The second that `fields` shows, while the clock runs. */
  private shown = Number.NaN;
  /** Numbers at their registers' places; the year is a whole one. */
  private readonly fields = new Uint16Array(RTC_YEAR + 1);

  constructor(options: CmosOptions) {
    super();
    this.now = options.now;
    this.describeMemory(options.lowRamBytes, options.highRamBytes);
    this.refresh();
  }

  attach(ports: PortBus): void {
    ports.claim(PORT_CMOS, 2, this);
  }

  protected override readByte(port: number): number {
    return port === PORT_CMOS ? 0xff : this.readRegister(this.index);
  }

  protected override writeByte(port: number, value: number): void {
    // Bit 7 of the index keeps non-maskable interrupts away, of which there are none.
    if (port === PORT_CMOS) this.index = value & 0x7f;
    else this.writeRegister(this.index, value);
  }

  private get stopped(): boolean {
    return (this.registerB & RTC_SET) !== 0 || this.dividerReset;
  }

  private get dividerReset(): boolean {
    return (this.registerA & RTC_DIV_RESET) === RTC_DIV_RESET;
  }

  private readRegister(index: number): number {
    switch (index) {
      case RTC_REG_A:
        return this.registerA | (!this.stopped && this.phase() >= 1000 - UPDATE_MS ? RTC_UIP : 0);
      case RTC_REG_B:
        return this.registerB;
      case RTC_REG_C:
        return 0;
      case RTC_REG_D:
        return RTC_VRT;
      case RTC_CENTURY:
        this.refresh();
        return this.encode(Math.floor(this.fields[RTC_YEAR]! / 100));
      case RTC_YEAR:
        this.refresh();
        return this.encode(this.fields[RTC_YEAR]! % 100);
      case RTC_HOURS:
        this.refresh();
        return this.encodeHour(this.fields[RTC_HOURS]!);
      default:
        if (!isTime(index)) return this.memory[index]!;
        this.refresh();
        return this.encode(this.fields[index]!);
    }
  }

  private writeRegister(index: number, value: number): void {
    switch (index) {
      case RTC_REG_A:
        this.control(value & ~RTC_UIP, this.registerB);
        break;
      case RTC_REG_B:
        this.control(this.registerA, value & REG_B_WRITABLE);
        break;
      case RTC_REG_C:
      case RTC_REG_D:
      case RTC_DAY_OF_WEEK:
        break;
      case RTC_CENTURY:
        this.setField(RTC_YEAR, (this.decode(value) % 100) * 100 + (this.year() % 100));
        break;
      case RTC_YEAR:
        this.setField(RTC_YEAR, this.year() - (this.year() % 100) + (this.decode(value) % 100));
        break;
      case RTC_HOURS:
        this.setField(RTC_HOURS, this.decodeHour(value));
        break;
      default:
        if (isTime(index)) this.setField(index, this.decode(value));
        else this.memory[index] = value;
    }
  }

  /** Registers A and B change; the clock may stop or go on. */
  private control(a: number, b: number): void {
    this.refresh();
    const phase = this.phase();
    const [wasStopped, wasReset] = [this.stopped, this.dividerReset];
    this.registerA = a;
    this.registerB = b;
    if (wasStopped && !this.stopped) this.goOn(wasReset ? AFTER_DIVIDER_RESET_MS : phase);
  }

  private setField(field: number, value: number): void {
    this.refresh();
    this.fields[field] = value;
    if (!this.stopped) this.goOn(this.phase());
  }

  /** The clock runs from what `fields` shows, `phase` milliseconds into its second. */
  private goOn(phase: number): void {
    const f = this.fields;
    const [year, month, day] = [f[RTC_YEAR]!, f[RTC_MONTH]!, f[RTC_DAY_OF_MONTH]!];
    const set = Date.UTC(year, month - 1, day, f[RTC_HOURS]!, f[RTC_MINUTES]!, f[RTC_SECONDS]!);
    this.ahead = set + phase - this.now();
    this.shown = Number.NaN;
    this.refresh();
  }

  /** Milliseconds into the second. */
  private phase(): number {
    const time = this.now() + this.ahead;
    return time - Math.floor(time / 1000) * 1000;
  }

  private year(): number {
    this.refresh();
    return this.fields[RTC_YEAR]!;
  }

  private refresh(): void {
    if (this.stopped) return;
    const second = Math.floor((this.now() + this.ahead) / 1000);
    if (second === this.shown) return;
    this.shown = second;
    const date = new Date(second * 1000);
    const { fields } = this;
    fields[RTC_SECONDS] = date.getUTCSeconds();
    fields[RTC_MINUTES] = date.getUTCMinutes();
    fields[RTC_HOURS] = date.getUTCHours();
    fields[RTC_DAY_OF_WEEK] = date.getUTCDay() + 1;
    fields[RTC_DAY_OF_MONTH] = date.getUTCDate();
    fields[RTC_MONTH] = date.getUTCMonth() + 1;
    // What a century's register can show.
    fields[RTC_YEAR] = date.getUTCFullYear() % 10_000;
  }

  private encode(value: number): number {
    if (this.registerB & RTC_DM_BINARY) return value & 0xff;
    return ((Math.floor(value / 10) << 4) | (value % 10)) & 0xff;
  }

  private decode(byte: number): number {
    return this.registerB & RTC_DM_BINARY ? byte : (byte >> 4) * 10 + (byte & 0xf);
  }

  private encodeHour(hour: number): number {
    if (this.registerB & RTC_24H) return this.encode(hour);
    return this.encode(hour % 12 || 12) | (hour % 24 >= 12 ? RTC_PM : 0);
  }

  private decodeHour(byte: number): number {
    if (this.registerB & RTC_24H) return this.decode(byte);
    return (this.decode(byte & ~RTC_PM) % 12) + (byte & RTC_PM ? 12 : 0);
  }

  /** What firmware leaves for systems that ask it for memory: sizes in KiB up to 64 MiB, in 64 KiB steps above. */
  private describeMemory(lowRamBytes: number, highRamBytes: number): void {
    const above = (bytes: number, unit: number): number => Math.min(Math.max(lowRamBytes - bytes, 0) / unit, 0xffff);
    const extended = above(MIB, KIB);
    this.memory[EQUIPMENT] = EQUIPMENT_FPU;
    this.storeSize(0x15, BASE_MEMORY_KIB, 2);
    this.storeSize(0x17, extended, 2);
    this.storeSize(0x30, extended, 2);
    this.storeSize(0x34, above(16 * MIB, 64 * KIB), 2);
    this.storeSize(0x5b, highRamBytes / (64 * KIB), 3);
  }

  private storeSize(index: number, value: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) this.memory[index + i] = Math.floor(value / 2 ** (i * 8));
  }
}

/** Time and date registers, without the three of the alarm that lie between. */
function isTime(index: number): boolean {
  return index <= RTC_YEAR && (index >= RTC_DAY_OF_WEEK || index % 2 === 0);
}
