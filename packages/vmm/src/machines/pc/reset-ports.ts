// The ways in which a PC is reset through a port: the reset control register (0xcf9), the system control port (0x92) and
// the keyboard controller's command port (0x64). There is no keyboard: its status says for ever that a byte waits and that
// a command can be taken, so a driver that drains the controller gives up after some bytes (Linux i8042_flush), and a reboot
// that waits until it may send its command (Linux kb_wait) does not wait. Port 0x80, where firmware shows its progress, is
// swallowed, because kernels write it to pass time.
// Source: Intel ICH9 data sheet sections 13.7.2 (PORT92) and 13.7.5 (RST_CNT); IBM PC/AT technical reference (8042).
// Invariant: a reset is one edge of its bit. A soft reset (INIT) is one like any other: it would end in firmware.
import { PORT_FAST_A20, PORT_KEYBOARD, PORT_POST, PORT_RESET } from "./memory-map.ts";
import { ByteDevice, type PortBus } from "./ports.ts";

const RST_CPU = 0x04;
const RST_CNT_BITS = 0x0e;

const PORT92_INIT = 0x01;
const PORT92_A20 = 0x02;

const PORT_KEYBOARD_COMMAND = PORT_KEYBOARD + 4;
const I8042_STR_OBF = 0x01;
/** Commands 0xf0 to 0xff pulse the lines whose bit is 0; line 0 is the processor's reset. */
const PULSE_MASK = 0xf1;
const PULSE_RESET = 0xf0;

export class ResetPorts extends ByteDevice {
  private readonly reset: () => void;
  private control = 0;
  private system = PORT92_A20;

  constructor(reset: () => void) {
    super();
    this.reset = reset;
  }

  attach(ports: PortBus): void {
    for (const port of [PORT_RESET, PORT_FAST_A20, PORT_KEYBOARD, PORT_KEYBOARD_COMMAND, PORT_POST]) {
      ports.claim(port, 1, this);
    }
  }

  protected override readByte(port: number): number {
    switch (port) {
      case PORT_RESET:
        return this.control;
      case PORT_FAST_A20:
        return this.system;
      case PORT_KEYBOARD_COMMAND:
        return I8042_STR_OBF;
      default:
        return 0xff;
    }
  }

  protected override writeByte(port: number, value: number): void {
    let reset = false;
    if (port === PORT_RESET) {
      reset = (value & ~this.control & RST_CPU) !== 0;
      this.control = value & RST_CNT_BITS;
    } else if (port === PORT_FAST_A20) {
      reset = (value & ~this.system & PORT92_INIT) !== 0;
      // Address line 20 is on whatever is written: guests read back that it is as they want it.
      this.system = value & (PORT92_INIT | PORT92_A20);
    } else if (port === PORT_KEYBOARD_COMMAND) {
      reset = (value & PULSE_MASK) === PULSE_RESET;
    }
    if (reset) this.reset();
  }
}
