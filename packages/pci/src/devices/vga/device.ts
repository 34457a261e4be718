// A VGA display with Bochs' linear extension, as QEMU's standard VGA has it (docs/specs/standard-vga.txt): video memory
// in BAR 0, and in BAR 2 the monitor's identification, the VGA registers and the extension's registers.
// The legacy addresses (0xa0000, ports 0x3b0 and 0x3c0) reach the same registers and memory through `legacy`.
import type { BarWidth } from "../../bar.ts";
import { PciDevice } from "../../device.ts";
import { displayIdentification } from "./edid.ts";
import { DisplayExtension, EXTENSION_REGISTERS } from "./extension.ts";
import { LegacyVga } from "./legacy.ts";

const EDID_SIZE = 0x180;
const PORTS_AT = 0x400;
const FIRST_PORT = 0x3c0;
const PORTS = 0x20;
const EXTENSION_AT = 0x500;
const ENDIAN_AT = 0x600;
const ENDIAN_SIZE = 8;
const LITTLE_ENDIAN = 0x1e1e_1e1e;
const BIG_ENDIAN = 0xbebe_bebe;
const MMIO_SIZE = 0x1000;

const MEBIBYTE = 1024 * 1024;

export interface VgaOptions {
  /** Video memory in MiB, a power of two from 1 to 256. Default 16. */
  readonly memory?: number;
}

export class VgaDevice extends PciDevice {
  readonly memory: Uint8Array;
  override readonly legacy: LegacyVga;
  readonly #edid = displayIdentification();
  readonly #extension: DisplayExtension;
  #bigEndian = false;

  constructor(options: VgaOptions = {}) {
    super({
      vendor: 0x1234,
      device: 0x1111,
      classCode: 0x030000,
      revision: 2,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
    });
    const size = (options.memory ?? 16) * MEBIBYTE;
    this.addBar({ index: 0, type: "mem32", size, prefetchable: true });
    this.addBar({ index: 2, type: "mem32", size: MMIO_SIZE, prefetchable: false });
    this.memory = new Uint8Array(size);
    this.legacy = new LegacyVga(this.memory);
    this.#extension = new DisplayExtension(size);
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    if (bar === 2) {
      this.#readRegisters(offset, width, out);
      return;
    }
    out[0] = 0;
    out[1] = 0;
    for (let i = 0; i < width; i++) out[i >> 2]! |= (this.memory[offset + i] ?? 0xff) << ((i & 3) * 8);
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (bar === 2) {
      this.#writeRegisters(offset, width, lo);
      return;
    }
    for (let i = 0; i < width && offset + i < this.memory.length; i++) {
      this.memory[offset + i] = (i < 4 ? lo : hi) >>> ((i & 3) * 8);
    }
  }

  override writeBarBurst(bar: number, offset: number, bytes: Uint8Array): void {
    // Registers are not prefetchable.
    if (bar === 0 && offset + bytes.length <= this.memory.length) this.memory.set(bytes, offset);
  }

  protected onReset(): void {
    this.legacy.reset();
    this.#extension.reset();
    this.#bigEndian = false;
  }

  #readRegisters(offset: number, width: BarWidth, out: Uint32Array): void {
    out[0] = 0;
    out[1] = 0;
    const extension = offset >= EXTENSION_AT && offset < EXTENSION_AT + EXTENSION_REGISTERS * 2;
    if (extension) {
      // Registers of sixteen bits; a byte gets the low half of its register.
      for (let i = 0; i < width; i += 2) out[i >> 2]! |= this.#extensionWord(offset + i) << ((i & 2) * 8);
      if (width === 1) out[0]! &= 0xff;
    } else if (offset >= ENDIAN_AT && offset < ENDIAN_AT + ENDIAN_SIZE) {
      // Registers of 32 bits, and nothing narrower.
      if (width >= 4) out[0] = this.#endianWord(offset);
      if (width === 8) out[1] = this.#endianWord(offset + 4);
    } else for (let i = 0; i < width; i++) out[i >> 2]! |= this.#byte(offset + i) << ((i & 3) * 8);
  }

  #extensionWord(at: number): number {
    return this.#extension.read((at - EXTENSION_AT) >> 1);
  }

  #endianWord(at: number): number {
    if (at === ENDIAN_AT) return ENDIAN_SIZE;
    return at === ENDIAN_AT + 4 ? (this.#bigEndian ? BIG_ENDIAN : LITTLE_ENDIAN) : 0;
  }

  #byte(at: number): number {
    if (at < EDID_SIZE) return this.#edid[at] ?? 0;
    if (at >= PORTS_AT && at < PORTS_AT + PORTS) return this.legacy.readRegister(at - PORTS_AT + FIRST_PORT);
    return 0xff;
  }

  #writeRegisters(offset: number, width: BarWidth, value: number): void {
    if (offset >= PORTS_AT && offset < PORTS_AT + PORTS) {
      for (let i = 0; i < Math.min(width, 2); i++) {
        this.legacy.writeRegister(offset - PORTS_AT + FIRST_PORT + i, (value >>> (i * 8)) & 0xff);
      }
    } else if (offset === ENDIAN_AT + 4) {
      if (value >>> 0 === BIG_ENDIAN) this.#bigEndian = true;
      else if (value === LITTLE_ENDIAN) this.#bigEndian = false;
    } else if (offset >= EXTENSION_AT && width === 2)
      this.#extension.write((offset - EXTENSION_AT) >> 1, value & 0xffff);
  }
}
