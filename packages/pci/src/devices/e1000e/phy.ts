// The PHY inside an 82574L (datasheet section 10.2.3) behind MDIC: a gigabit link that is up.
// MDIC carries data, register, PHY address, opcode, ready, interrupt enable and error. A register that is not there, or
// an access in the wrong direction, ends with the error bit; so does another address, with the data as it was.

const OPERATION_WRITE = 0x0400_0000;
const OPERATION_READ = 0x0800_0000;
const READY = 0x1000_0000;
const INTERRUPT_ENABLE = 0x2000_0000;
const ERROR = 0x4000_0000;
const ADDRESS = 1;
const REGISTERS = 32;
const PAGE_SELECT = 31;

const CONTROL = 0;
const CONTROL_RESET = 0x8000;
const CONTROL_RESTART = 0x0200;
const CONTROL_LOOPBACK = 0x4000;

interface PhyRegister {
  readonly value: number;
  readonly write?: boolean;
}

/** Of page 0, those that can be read. */
const POWER_ON: ReadonlyMap<number, PhyRegister> = new Map<number, PhyRegister>([
  [CONTROL, { value: 0x1140, write: true }], // negotiation on, full duplex, 1000 Mb/s
  [1, { value: 0x794d }], // link up, all speeds but 100BASE-T4
  [2, { value: 0x0141 }], // identifier
  [3, { value: 0x0cb1 }],
  [4, { value: 0x0de1, write: true }], // what is offered to the other end
  [5, { value: 0x07e0 }], // what the other end offers
  [6, { value: 0x0004 }],
  [7, { value: 0x2001, write: true }], // next page
  [8, { value: 0 }],
  [9, { value: 0x0f00, write: true }], // 1000BASE-T control
  [10, { value: 0x3c00 }], // 1000BASE-T status
  [15, { value: 0x3000 }], // extended status
  [16, { value: 0x3360, write: true }], // copper specific control
  [17, { value: 0xac08 }], // copper specific status
  [18, { value: 0, write: true }], // interrupt enable
  [19, { value: 0 }], // interrupt status
  [20, { value: 0, write: true }],
  [21, { value: 0 }], // receive errors
  [22, { value: 0, write: true }], // page
  [25, { value: 0, write: true }],
  [26, { value: 0, write: true }],
  [29, { value: 0, write: true }],
  [30, { value: 0, write: true }],
]);

export class Phy {
  readonly #registers = new Uint16Array(REGISTERS);

  constructor() {
    this.reset();
  }

  /** What is sent comes back. */
  get loopback(): boolean {
    return (this.#registers[CONTROL]! & CONTROL_LOOPBACK) !== 0;
  }

  reset(): void {
    this.#registers.fill(0);
    for (const [at, { value }] of POWER_ON) this.#registers[at] = value;
  }

  /** What MDIC reads after `command` was written over `before`, and whether its end is an interrupt. */
  access(command: number, before: number): { readonly value: number; readonly interrupt: boolean } {
    const register = (command >>> 16) & 0x1f;
    const interrupt = (command & INTERRUPT_ENABLE) !== 0;
    let value = command;
    if (((command >>> 21) & 0x1f) !== ADDRESS) value = before | ERROR;
    else if (command & OPERATION_READ) {
      value = POWER_ON.has(register) ? (command & ~0xffff) | this.#registers[register]! : command | ERROR;
    } else if (command & OPERATION_WRITE) {
      if (POWER_ON.get(register)?.write || register === PAGE_SELECT) this.#write(register, command & 0xffff);
      else value |= ERROR;
    }
    return { value: (value | READY) >>> 0, interrupt };
  }

  #write(register: number, value: number): void {
    if (register !== CONTROL) this.#registers[register] = value;
    else if (value & CONTROL_RESET) this.reset();
    // A negotiation ends as soon as it starts.
    else this.#registers[CONTROL] = value & ~CONTROL_RESTART;
  }
}
