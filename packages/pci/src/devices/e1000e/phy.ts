// The PHY inside an 82574L (datasheet section 10.2.3) behind MDIC: a gigabit link that is always up and has finished
// negotiating. MDIC carries data, register, PHY address, opcode, ready, interrupt enable and error.

const OPERATION_WRITE = 1;
const OPERATION_READ = 2;
const READY = 0x1000_0000;
const INTERRUPT_ENABLE = 0x2000_0000;
const ERROR = 0x4000_0000;
const ADDRESS = 1;
const REGISTERS = 32;
const PAGE_SELECT = 31;

const CONTROL = 0;
const CONTROL_RESET = 0x8000;
const CONTROL_RESTART = 0x0200;
/** Extended, link up, negotiation able and done, all speeds but 100BASE-T4. */
const STATUS = 1;

const POWER_ON: ReadonlyMap<number, { readonly value: number; readonly write: number }> = new Map([
  [CONTROL, { value: 0x1140, write: 0xffff }],
  [STATUS, { value: 0x796d, write: 0 }],
  [2, { value: 0x0141, write: 0 }],
  [3, { value: 0x0cb1, write: 0 }],
  [4, { value: 0x0de1, write: 0xffff }],
  [5, { value: 0x7de1, write: 0 }],
  [6, { value: 0x0007, write: 0 }],
  [7, { value: 0x2001, write: 0xffff }],
  [8, { value: 0x0000, write: 0 }],
  [9, { value: 0x0e00, write: 0xffff }],
  [10, { value: 0x3c00, write: 0 }],
  [15, { value: 0x3000, write: 0 }],
  [16, { value: 0x0078, write: 0xffff }],
  [17, { value: 0xac08, write: 0 }],
  [18, { value: 0x0000, write: 0xffff }],
  [20, { value: 0x0c60, write: 0xffff }],
  [22, { value: 0x0000, write: 0xffff }],
]);

export class Phy {
  readonly #registers = new Uint16Array(REGISTERS);

  constructor() {
    this.reset();
  }

  reset(): void {
    this.#registers.fill(0);
    for (const [at, { value }] of POWER_ON) this.#registers[at] = value;
  }

  /** What MDIC reads after `command` was written, and whether its end is an interrupt. */
  access(command: number): { readonly value: number; readonly interrupt: boolean } {
    const register = (command >>> 16) & 0x1f;
    const operation = (command >>> 26) & 3;
    const interrupt = (command & INTERRUPT_ENABLE) !== 0;
    const idle = command & 0x2fff_ffff;
    if (((command >>> 21) & 0x1f) !== ADDRESS) return { value: (idle | ERROR | READY) >>> 0, interrupt };
    if (operation === OPERATION_WRITE) this.#write(register, command & 0xffff);
    const data = operation === OPERATION_READ ? this.#registers[register]! : command & 0xffff;
    return { value: ((idle & ~0xffff) | data | READY) >>> 0, interrupt };
  }

  #write(register: number, value: number): void {
    if (register === CONTROL) {
      if (value & CONTROL_RESET) this.reset();
      // A negotiation ends as soon as it starts.
      else this.#registers[CONTROL] = value & ~CONTROL_RESTART;
      return;
    }
    const known = POWER_ON.get(register);
    if (known?.write || register === PAGE_SELECT) this.#registers[register] = value;
  }
}
