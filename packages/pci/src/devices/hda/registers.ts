// The register file of an Intel High Definition Audio controller (HDA 1.0a section 3.3): per register its width, power-on
// value, what software may write and what it clears by writing ones. Registers are addressed exactly: an access at a
// register's offset reads or writes that register alone, however wide it is.

export interface HdaRegister {
  readonly offset: number;
  /** Bytes. */
  readonly size: 1 | 2 | 4;
  readonly reset?: number;
  readonly write?: number;
  readonly rw1c?: number;
}

export const GCTL = 0x08;
export const GCTL_CRST = 0x1;
export const STATESTS = 0x0e;
export const INTCTL = 0x20;
export const INTCTL_GIE = 0x8000_0000;
export const INTCTL_CIE = 0x4000_0000;
export const INTSTS = 0x24;
export const WALCLK = 0x30;
export const CORBLBASE = 0x40;
export const CORBUBASE = 0x44;
export const CORBWP = 0x48;
export const CORBRP = 0x4a;
export const CORBRP_RESET = 0x8000;
export const CORBCTL = 0x4c;
export const CORBCTL_RUN = 0x02;
export const RIRBLBASE = 0x50;
export const RIRBUBASE = 0x54;
export const RIRBWP = 0x58;
export const RIRBWP_RESET = 0x8000;
export const RINTCNT = 0x5a;
export const RIRBCTL = 0x5c;
export const RIRBCTL_INTERRUPT = 0x01;
export const RIRBCTL_DMA = 0x02;
export const RIRBSTS = 0x5d;
export const RIRBSTS_RESPONSE = 0x01;
export const RIRBSTS_OVERRUN = 0x04;
export const ICOI = 0x60;
export const ICII = 0x64;
export const ICIS = 0x68;
export const ICIS_BUSY = 0x1;
export const ICIS_VALID = 0x2;

export const STREAM_BASE = 0x80;
export const STREAM_SIZE = 0x20;
export const STREAMS = 8;
export const SDCTL = 0x00;
export const SDCTL_RESET = 0x1;
export const SDCTL_STREAM = 0x00ff_0000;
/** Status, in the top byte of the control register's dword. */
export const SDSTS_FIFO_READY = 0x2000_0000;
export const SDSTS_EVENTS = 0x1c00_0000;

/** Four input and four output streams, 64-bit addresses. */
const GCAP = 0x4401;
/** Ring of 256 entries, and only that. */
const RING_256 = 0x42;

const GLOBAL: readonly HdaRegister[] = [
  { offset: 0x00, size: 2, reset: GCAP },
  { offset: 0x02, size: 1 },
  { offset: 0x03, size: 1, reset: 1 },
  { offset: 0x04, size: 2, reset: 0x3c },
  { offset: 0x06, size: 2, reset: 0x1d },
  { offset: GCTL, size: 4, write: 0x103 },
  { offset: 0x0c, size: 2, write: 0x7fff },
  { offset: STATESTS, size: 2, rw1c: 0x7fff },
  { offset: 0x18, size: 2 },
  { offset: 0x1a, size: 2 },
  { offset: INTCTL, size: 4, write: 0xc000_00ff },
  { offset: INTSTS, size: 4 },
  { offset: WALCLK, size: 4 },
  { offset: CORBLBASE, size: 4, write: 0xffff_ff80 },
  { offset: CORBUBASE, size: 4, write: 0xffff_ffff },
  { offset: CORBWP, size: 2, write: 0xff },
  { offset: CORBRP, size: 2, write: 0x80ff },
  { offset: CORBCTL, size: 1, write: 0x03 },
  { offset: 0x4d, size: 1, rw1c: 0x01 },
  { offset: 0x4e, size: 1, reset: RING_256 },
  { offset: RIRBLBASE, size: 4, write: 0xffff_ff80 },
  { offset: RIRBUBASE, size: 4, write: 0xffff_ffff },
  { offset: RIRBWP, size: 2, write: RIRBWP_RESET },
  { offset: RINTCNT, size: 2, write: 0xff },
  { offset: RIRBCTL, size: 1, write: 0x07 },
  { offset: RIRBSTS, size: 1, rw1c: RIRBSTS_RESPONSE | RIRBSTS_OVERRUN },
  { offset: 0x5e, size: 1, reset: RING_256 },
  { offset: ICOI, size: 4, write: 0xffff_ffff },
  { offset: ICII, size: 4 },
  { offset: ICIS, size: 2, write: ICIS_BUSY, rw1c: ICIS_VALID },
  { offset: 0x70, size: 4, write: 0xffff_ff81 },
  { offset: 0x74, size: 4, write: 0xffff_ffff },
];

/** The stream number and the status, in the upper half of a control register, can be reached alone. */
export const SDNUMBER = 0x02;
export const SDSTS = 0x03;

/** Control and status, position, buffer length, last valid index, FIFO size, format, descriptor list. */
const STREAM: readonly HdaRegister[] = [
  { offset: SDCTL, size: 4, reset: SDSTS_FIFO_READY, write: 0x00ff_001f, rw1c: SDSTS_EVENTS },
  { offset: 0x04, size: 4 },
  { offset: 0x08, size: 4, write: 0xffff_ffff },
  { offset: 0x0c, size: 2, write: 0xff },
  { offset: 0x10, size: 2, reset: 0x100 },
  { offset: 0x12, size: 2, write: 0x7f7f },
  { offset: 0x18, size: 4, write: 0xffff_ff80 },
  { offset: 0x1c, size: 4, write: 0xffff_ffff },
];

function allRegisters(): Map<number, HdaRegister> {
  const all = new Map(GLOBAL.map((register) => [register.offset, register]));
  for (let n = 0; n < STREAMS; n++) {
    for (const register of STREAM) {
      const offset = STREAM_BASE + n * STREAM_SIZE + register.offset;
      all.set(offset, { ...register, offset });
    }
  }
  return all;
}

export const HDA_REGISTERS: ReadonlyMap<number, HdaRegister> = allRegisters();
