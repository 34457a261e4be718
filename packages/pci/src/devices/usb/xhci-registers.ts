// Registers of an eXtensible host controller (xHCI 1.1 chapter 5) and what this one offers: 64 slots, sixteen
// interrupters, four SuperSpeed ports and four USB 2 ports, 64-bit pointers.

export const BAR_SIZE = 0x4000;
export const OPERATIONAL = 0x40;
export const PORTS_AT = 0x440;
export const RUNTIME = 0x1000;
export const DOORBELLS = 0x2000;
export const MSIX_TABLE = 0x3000;
export const MSIX_PBA = 0x3800;

export const SLOTS = 64;
export const INTERRUPTERS = 16;
export const PORTS = 8;

/** "USB " in the supported protocol capabilities. */
const USB_NAME = 0x2042_5355;
const VERSION_1_0 = 0x0100;
const PROTOCOL = 0x02;
const NEXT_4_DWORDS = 0x0400;

/** Capability registers and extended capabilities, by offset. */
export const CAPABILITIES: ReadonlyMap<number, number> = new Map([
  [0x00, (VERSION_1_0 << 16) | OPERATIONAL],
  [0x04, (PORTS << 24) | (INTERRUPTERS << 8) | SLOTS],
  [0x08, 0x0000_000f],
  [0x10, (0x20 << 14) | 1],
  [0x14, DOORBELLS],
  [0x18, RUNTIME],
  [0x20, 0x0200_0000 | NEXT_4_DWORDS | PROTOCOL],
  [0x24, USB_NAME],
  [0x28, (4 << 8) | 5],
  [0x30, 0x0300_0000 | PROTOCOL],
  [0x34, USB_NAME],
  [0x38, (4 << 8) | 1],
]);

// Operational registers, from OPERATIONAL
export const USBCMD = 0x00;
export const CMD_RUN = 0x001;
export const CMD_RESET = 0x002;
export const CMD_INTERRUPTS = 0x004;
export const CMD_SAVE = 0x100;
export const CMD_RESTORE = 0x200;
export const CMD_WRITABLE = 0xc0f;
export const USBSTS = 0x04;
export const STS_HALTED = 0x001;
export const STS_HOST_ERROR = 0x004;
export const STS_EVENT = 0x008;
export const STS_PORT = 0x010;
export const STS_RESTORE_ERROR = 0x400;
export const STS_CLEARABLE = 0x41c;
export const PAGESIZE = 0x08;
export const DNCTRL = 0x14;
export const CRCR = 0x18;
export const CRCR_CYCLE = 0x1;
export const CRCR_STOP = 0x2;
export const CRCR_ABORT = 0x4;
export const CRCR_RUNNING = 0x8;
export const DCBAAP = 0x30;
export const CONFIG = 0x38;

// Port registers, four dwords a port
export const PORTSC_POWER = 0x0000_0200;
export const PORTSC_RX_DETECT = 0x0000_00a0;
export const PORTSC_CONNECT_CHANGE = 0x0002_0000;
export const PORTSC_CHANGES = 0x00fe_0000;
/** Power and wake events. */
export const PORTSC_WRITABLE = 0x0e00_0200;
/** Reset, warm or not: nothing happens at an empty port, and the rest of the write is lost. */
export const PORTSC_RESETS = 0x8000_0010;

// Runtime registers: MFINDEX, then 32 bytes an interrupter from 0x20
export const INTERRUPTER_AT = 0x20;
export const INTERRUPTER_SIZE = 0x20;
export const IMAN = 0x00;
export const IMAN_PENDING = 1;
export const IMAN_ENABLE = 2;
export const IMOD = 0x04;
export const ERSTSZ = 0x08;
export const ERSTBA = 0x10;
export const ERDP = 0x18;
export const ERDP_BUSY = 8;
