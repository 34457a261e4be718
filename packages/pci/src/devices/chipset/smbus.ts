// The SMBus controller of Intel's ICH9 (ICH9 datasheet, chapter 18) with nothing on its bus: every transaction ends with
// the device error that a missing slave causes.
import type { BarWidth } from "../../bar.ts";
import { PciDevice } from "../../device.ts";

const HOSTC = 0x40;
const HST_EN = 0x01;

const HST_STS = 0x00;
const HST_CNT = 0x02;
const STS_BUSY = 0x01;
const STS_DEV_ERR = 0x04;
const STS_IN_USE = 0x40;
const CNT_INTREN = 0x01;
const CNT_START = 0x40;
/** Command, address, two data bytes, block data, packet error code. */
const FIRST_DATA = 0x03;
const LAST_DATA = 0x08;

export class Ich9Smbus extends PciDevice {
  readonly #registers = new Uint8Array(0x40);

  constructor() {
    super({
      vendor: 0x8086,
      device: 0x2930,
      classCode: 0x0c0500,
      revision: 2,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: 1,
    });
    this.config.define(HOSTC, 1, { value: HST_EN, write: 0xf7 });
    this.addBar({ index: 4, type: "io", size: 0x40, prefetchable: false });
  }

  readBar(_bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    out[0] = 0;
    out[1] = 0;
    for (let i = 0; i < width; i++) out[i >> 2]! |= this.#read(offset + i) << ((i & 3) * 8);
  }

  writeBar(_bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    for (let i = 0; i < width; i++) this.#write(offset + i, ((i < 4 ? lo : hi) >>> ((i & 3) * 8)) & 0xff);
  }

  protected onReset(): void {
    this.#registers.fill(0);
  }

  #read(at: number): number {
    const value = this.#registers[at] ?? 0xff;
    // Reading the status takes the semaphore.
    if (at === HST_STS) this.#registers[HST_STS]! |= STS_IN_USE;
    return value;
  }

  #write(at: number, value: number): void {
    const registers = this.#registers;
    if (at === HST_STS) {
      registers[HST_STS]! &= ~(value & ~STS_BUSY);
      this.#update();
    } else if (at === HST_CNT) {
      registers[HST_CNT] = value & ~CNT_START;
      if (value & CNT_START) registers[HST_STS]! |= STS_DEV_ERR;
      this.#update();
    } else if (at >= FIRST_DATA && at <= LAST_DATA) registers[at] = value;
  }

  #update(): void {
    const wanted = (this.#registers[HST_CNT]! & CNT_INTREN) !== 0;
    this.setIntx(wanted && (this.#registers[HST_STS]! & STS_DEV_ERR) !== 0);
  }
}
