// The LPC bridge of Intel's ICH9 (ICH9 datasheet, chapter 13): configuration registers only. They hold the bases of the
// power management block and of the root complex block, and how the eight interrupt links are routed to the 8259s.
import type { BarWidth } from "../../bar.ts";
import { PciDevice } from "../../device.ts";

const PMBASE = 0x40;
const ACPI_CNTL = 0x44;
const PIRQA_ROUT = 0x60;
const PIRQE_ROUT = 0x68;
const LPC_EN = 0x82;
const GEN_PMCON_1 = 0xa0;
const RCBA = 0xf0;

const IO_SPACE = 1;
const ACPI_ENABLE = 0x80;
const ROUTE_DISABLED = 0x80;
const SMI_LOCK = 0x10;

export interface LpcOptions {
  /** I/O base of the power management block. Default 0x600. */
  readonly pmBase?: number;
  /** Memory base of the root complex block. Default 0xfed1_c000. */
  readonly rootComplex?: number;
  /** Interrupts of the links A..D, and of E..H, which firmware chose; the kernel has switched these routes off. */
  readonly lines?: readonly number[];
}

export class Ich9Lpc extends PciDevice {
  constructor(options: LpcOptions = {}) {
    super({
      vendor: 0x8086,
      device: 0x2918,
      classCode: 0x060100,
      revision: 2,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
    });
    const { config } = this;
    const { pmBase = 0x600, rootComplex = 0xfed1_c000, lines = [10, 10, 11, 11] } = options;
    config.define(PMBASE, 4, { value: pmBase | IO_SPACE, write: 0xff80 });
    config.define(ACPI_CNTL, 1, { value: ACPI_ENABLE, write: 0x87 });
    lines.forEach((line, n) => {
      config.define(PIRQA_ROUT + n, 1, { value: ROUTE_DISABLED | line, write: 0x8f });
      config.define(PIRQE_ROUT + n, 1, { value: ROUTE_DISABLED | line, write: 0x8f });
    });
    config.define(LPC_EN, 2, { value: 1, write: 0x3f0f });
    config.define(GEN_PMCON_1, 1, { value: SMI_LOCK });
    config.define(RCBA, 4, { value: (rootComplex | 1) >>> 0, write: 0xffff_c001 });
  }

  readBar(_bar: number, _offset: number, _width: BarWidth, out: Uint32Array): void {
    out[0] = 0xffffffff;
    out[1] = 0xffffffff;
  }
  writeBar(): void {}
  protected onReset(): void {}
}
