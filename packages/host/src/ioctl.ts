// ioctl request numbers: direction, argument size, type letter and number packed into 32 bits.
// x86 uses asm-generic/ioctl.h; powerpc has three direction bits with other values (arch/powerpc/include/uapi/asm/ioctl.h),
// so the same command has another number there and numbers are always computed for an architecture.

export type Arch = "x86_64" | "ppc64le";

export interface IoctlNumbers {
  /** A command without a sized argument. `type` is the letter's code, for example 0x3b for ';'. */
  IO(type: number, nr: number): number;
  /** The kernel writes `size` bytes to the caller. */
  IOR(type: number, nr: number, size: number): number;
  /** The kernel reads `size` bytes from the caller. */
  IOW(type: number, nr: number, size: number): number;
  IOWR(type: number, nr: number, size: number): number;
}

interface Layout {
  sizeBits: number;
  none: number;
  read: number;
  write: number;
}

const LAYOUTS: Record<Arch, Layout> = {
  x86_64: { sizeBits: 14, none: 0, write: 1, read: 2 },
  ppc64le: { sizeBits: 13, none: 1, read: 2, write: 4 },
};

/** The request number makers of an architecture. Results are unsigned 32-bit numbers. */
export function ioctlNumbers(arch: Arch): IoctlNumbers {
  const { sizeBits, none, read, write } = LAYOUTS[arch];
  const make = (direction: number, type: number, nr: number, size: number): number =>
    ((direction << (16 + sizeBits)) | (size << 16) | (type << 8) | nr) >>> 0;
  return {
    IO: (type, nr) => make(none, type, nr, 0),
    IOR: (type, nr, size) => make(read, type, nr, size),
    IOW: (type, nr, size) => make(write, type, nr, size),
    IOWR: (type, nr, size) => make(read | write, type, nr, size),
  };
}
