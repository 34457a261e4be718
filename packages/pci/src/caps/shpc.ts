// The capability of a standard hot-plug controller (PCI Standard Hot-Plug Controller 1.0, chapter 4): a window of one
// dword, chosen by a byte in configuration space, on the working register set that also lies in a BAR.
// Slots cannot be changed here: the controller says how many there are and takes no command.
import type { BarWidth } from "../bar.ts";
import type { PciDevice } from "../device.ts";
import { PCI_CAP_ID_SHPC } from "../registers.ts";

const DWORD_SELECT = 2;
const DWORD_DATA = 4;
/** Slots available at 33 MHz. */
const SLOTS_AVAILABLE_1 = 0x04;
const SLOT_CONFIGURATION = 0x0c;
const PROGRAMMING_INTERFACE = 0x10;
const SLOT_0 = 0x24;
const SLOTS = 31;
const WORKING_SET = SLOT_0 + SLOTS * 4;
/** Empty, power off, both indicators off, button released. */
const SLOT_EMPTY = 0x0000_0d0f | (0x7f << 24);

export class Shpc {
  readonly #device: PciDevice;
  readonly #offset: number;
  readonly #registers = new Uint32Array(WORKING_SET / 4);

  constructor(device: PciDevice, at?: number) {
    const { config } = device;
    this.#device = device;
    this.#offset = config.addCapability(PCI_CAP_ID_SHPC, 8, at);
    config.define(this.#offset + DWORD_SELECT, 1, { write: 0xff });
    config.onWrite(this.#offset + DWORD_SELECT, 1, () => this.#show());
    this.reset();
  }

  reset(): void {
    const registers = this.#registers;
    registers.fill(0);
    registers[SLOTS_AVAILABLE_1 / 4] = SLOTS;
    registers[SLOT_CONFIGURATION / 4] = SLOTS | (1 << 8) | (1 << 16);
    registers[PROGRAMMING_INTERFACE / 4] = 1 << 24;
    registers.fill(SLOT_EMPTY, SLOT_0 / 4);
    this.#show();
  }

  read(offset: number, width: BarWidth, out: Uint32Array): void {
    const word = this.#registers[offset >> 2] ?? 0;
    out[0] = width >= 4 ? word : (word >>> ((offset & 3) * 8)) & (width === 2 ? 0xffff : 0xff);
    out[1] = width === 8 ? (this.#registers[(offset >> 2) + 1] ?? 0) : 0;
  }

  /** Nothing can be switched: there is no slot that could take a command. */
  write(_offset: number, _width: BarWidth, _value: number): void {}

  #show(): void {
    const { config } = this.#device;
    const select = config.read(this.#offset + DWORD_SELECT, 1);
    config.poke(this.#offset + DWORD_DATA, 4, this.#registers[select] ?? 0);
  }
}
