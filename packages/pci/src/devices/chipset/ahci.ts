// The SATA controller of Intel's ICH9 in AHCI mode (ICH9 datasheet, chapter 15; AHCI 1.3.1 section 3) with six ports and
// nothing connected to them: generic host control, port registers that can be set up, no command ever issued.
import type { BarWidth } from "../../bar.ts";
import { Msi } from "../../caps/msi.ts";
import { PciDevice } from "../../device.ts";
import { PCI_CAP_ID_SATA } from "../../registers.ts";

const MAP = 0x90;
const MAP_AHCI = 0x40;
const SATA_REVISION = 0x10;
/** Index and data registers are at offset 0x10 of BAR 4 (in dwords, with the BAR's number). */
const SATA_INDEX = 0x48;

const BAR_SIZE = 0x1000;
const PORTS = 6;
const CAP = 0x00;
const GHC = 0x04;
const IS = 0x08;
const PI = 0x0c;
const VS = 0x10;
/** 64-bit addresses, command queueing, AHCI only, 32 slots, speed 1, six ports. */
const CAP_VALUE = 0xc014_1f00 + PORTS - 1;
const VERSION_1_0 = 0x0001_0000;
const GHC_AHCI = 0x8000_0000;
const GHC_RESET = 1;
const GHC_INTERRUPTS = 2;

const PORT_BASE = 0x100;
const PORT_SIZE = 0x80;
const PORT_TFD = 0x20;
const PORT_SIG = 0x24;
const PORT_SCTL = 0x2c;
/** CLB, CLBU, FB, FBU, IS, IE, CMD. */
const PORT_SETUP_END = 0x1c;
const PORT_INTERRUPT_STATUS = 0x10;
const TFD_NO_DEVICE = 0x7f;
const SIG_NONE = 0xffff_ffff;

export class Ich9Ahci extends PciDevice {
  readonly #registers = new Uint32Array(BAR_SIZE / 4);

  constructor() {
    super({
      vendor: 0x8086,
      device: 0x2922,
      classCode: 0x010601,
      revision: 2,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
      interruptPin: 1,
    });
    const { config } = this;
    this.addBar({ index: 4, type: "io", size: 0x20, prefetchable: false });
    this.addBar({ index: 5, type: "mem32", size: BAR_SIZE, prefetchable: false });
    config.define(MAP, 1, { value: MAP_AHCI, write: 0xff });
    new Msi(this, { at: 0x80 });
    const sata = config.addCapability(PCI_CAP_ID_SATA, 8, 0xa8);
    config.define(sata + 2, 2, { value: SATA_REVISION });
    config.define(sata + 4, 4, { value: SATA_INDEX });
    this.onReset();
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    const word = bar === 5 ? this.#registers[offset >> 2]! : 0;
    out[0] = width >= 4 ? word : (word >>> ((offset & 3) * 8)) & (width === 2 ? 0xffff : 0xff);
    out[1] = width === 8 && bar === 5 ? (this.#registers[(offset >> 2) + 1] ?? 0) : 0;
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (bar !== 5 || width < 4 || offset & 3) return;
    this.#write(offset, lo >>> 0);
    if (width === 8) this.#write(offset + 4, hi >>> 0);
  }

  protected onReset(): void {
    const registers = this.#registers;
    registers.fill(0);
    registers[CAP >> 2] = CAP_VALUE;
    registers[GHC >> 2] = GHC_AHCI;
    registers[PI >> 2] = 2 ** PORTS - 1;
    registers[VS >> 2] = VERSION_1_0;
    for (let port = 0; port < PORTS; port++) {
      const at = PORT_BASE + port * PORT_SIZE;
      registers[(at + PORT_TFD) >> 2] = TFD_NO_DEVICE;
      registers[(at + PORT_SIG) >> 2] = SIG_NONE;
    }
  }

  #write(offset: number, value: number): void {
    const registers = this.#registers;
    if (offset === GHC) {
      if (value & GHC_RESET) this.onReset();
      else registers[GHC >> 2] = (GHC_AHCI | (value & GHC_INTERRUPTS)) >>> 0;
    } else if (offset === IS) registers[IS >> 2]! &= ~value;
    else if (offset >= PORT_BASE && offset < PORT_BASE + PORTS * PORT_SIZE) {
      const register = (offset - PORT_BASE) % PORT_SIZE;
      if (register === PORT_INTERRUPT_STATUS) registers[offset >> 2]! &= ~value;
      else if (register < PORT_SETUP_END || register === PORT_SCTL) registers[offset >> 2] = value;
    }
  }
}
