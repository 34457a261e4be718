// The memory controller hub of Intel's Q35 chipset as a PCI function (Intel 3 Series Express Chipset datasheet, chapter
// 5): configuration registers only. They say where firmware put the enhanced configuration window and which parts of the
// legacy area below 1 MiB lead to memory.
import type { BarWidth } from "../../bar.ts";
import { PciDevice } from "../../device.ts";

const EXT_TSEG_MBYTES = 0x50;
const PCIEXBAR = 0x60;
const PAM0 = 0x90;
const SMRAM = 0x9d;
const ESMRAMC = 0x9e;

const PCIEXBAR_ENABLE = 1;
const SMRAM_LOCKED_AND_ENABLED = 0x0a;
const ESMRAMC_CACHEABLE = 0x38;
/** Read from memory, write to the bus: firmware's copy of a ROM, write-protected. */
const PAM_READ_ONLY = 0x11;
const PAM_READ_WRITE = 0x33;

export interface HostBridgeOptions {
  /** Base of the 256 MiB configuration window. Default 0xb000_0000. */
  readonly ecam?: number;
}

export class Q35HostBridge extends PciDevice {
  constructor(options: HostBridgeOptions = {}) {
    super({
      vendor: 0x8086,
      device: 0x29c0,
      classCode: 0x060000,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
    });
    const { config } = this;
    config.define(EXT_TSEG_MBYTES, 2, { value: 16 });
    config.define(PCIEXBAR, 4, { value: ((options.ecam ?? 0xb000_0000) | PCIEXBAR_ENABLE) >>> 0, write: 0xf000_0007 });
    config.define(PCIEXBAR + 4, 4, { write: 0xf });
    config.define(PAM0, 1, { value: 0x10, write: 0x30 });
    for (let n = 1; n < 6; n++) config.define(PAM0 + n, 1, { value: PAM_READ_ONLY, write: PAM_READ_WRITE });
    config.define(PAM0 + 6, 1, { value: PAM_READ_WRITE, write: PAM_READ_WRITE });
    config.define(SMRAM, 1, { value: SMRAM_LOCKED_AND_ENABLED });
    config.define(ESMRAMC, 1, { value: ESMRAMC_CACHEABLE });
  }

  readBar(_bar: number, _offset: number, _width: BarWidth, out: Uint32Array): void {
    out[0] = 0xffffffff;
    out[1] = 0xffffffff;
  }
  writeBar(): void {}
  protected onReset(): void {}
}
