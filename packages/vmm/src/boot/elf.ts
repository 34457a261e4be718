// Loads a statically linked 64-bit little-endian ELF image for PowerPC or x86, as a kernel or a bare guest program is.
// Source: System V ABI (ELF-64 object file format), 64-bit ELF V2 ABI for Power, x86-64 psABI.
// Addresses: a segment's place is its physical address. Linux for Power links itself at 0xC000000000000000 and runs at 0;
// real mode ignores the top four bits of an address, so they are left out. No address of x86 guests has them.
import { hex, VmmError } from "../errors.ts";

export interface ElfSegment {
  /** Physical address in the guest. */
  readonly address: number;
  /** The bytes in the file; a view, not a copy. */
  readonly bytes: Uint8Array;
  /** Size in memory; what lies beyond `bytes` is zero. */
  readonly memorySize: number;
}

export interface ElfImage {
  /** Physical address of the first instruction. */
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  /** First physical address behind all segments. */
  readonly end: number;
}

/** What kind of file is wanted, and how to say so. */
export interface ElfTarget {
  /** e_machine. */
  readonly machine: number;
  readonly machineName: string;
  readonly notElfHint: string;
  readonly endianHint: string;
}

export const ELF_PPC64LE: ElfTarget = {
  machine: 21,
  machineName: "64-bit PowerPC",
  notElfHint: "give the uncompressed kernel (vmlinux); a zImage or a compressed file is not loaded",
  endianHint: "use a ppc64le (powerpc64le, ppc64el) kernel",
};

export const ELF_X86_64: ElfTarget = {
  machine: 62,
  machineName: "64-bit x86",
  notElfHint: "give an x86-64 kernel: a bzImage (vmlinuz) or its uncompressed vmlinux",
  endianHint: "use an x86-64 (amd64) kernel",
};

const PT_LOAD = 1;
const EHDR_SIZE = 64;
const PHDR_SIZE = 56;

/** The lower 60 bits of the 64-bit word at `at`; more than 2^53 (no such memory exists) is refused by the caller. */
function physical(view: DataView, at: number): number {
  return (view.getUint32(at + 4, true) & 0x0fffffff) * 0x1_0000_0000 + view.getUint32(at, true);
}

function size64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

/** Parses the file. Throws VmmError ELF_NOT_ELF, _WRONG_CLASS, _WRONG_ENDIANNESS, _WRONG_MACHINE, _TRUNCATED, _NO_SEGMENT. */
export function parseElf(file: Uint8Array, name = "kernel", target: ElfTarget = ELF_PPC64LE): ElfImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 4 || view.getUint32(0) !== 0x7f454c46) {
    throw new VmmError(`${name}: not an ELF file`, {
      code: "ELF_NOT_ELF",
      details: { name, size: file.length },
      hint: target.notElfHint,
    });
  }
  if (file.length < EHDR_SIZE) throw truncated(name, "header", EHDR_SIZE, file.length);
  if (file[4] !== 2) {
    throw new VmmError(`${name}: a 32-bit ELF file; the machine runs 64-bit code`, { code: "ELF_WRONG_CLASS" });
  }
  if (file[5] !== 1) {
    throw new VmmError(`${name}: a big-endian image; this CPU executes little-endian code only`, {
      code: "ELF_WRONG_ENDIANNESS",
      hint: target.endianHint,
    });
  }
  const machine = view.getUint16(18, true);
  if (machine !== target.machine) {
    const wanted = `${target.machineName} (${target.machine})`;
    throw new VmmError(`${name}: built for ELF machine ${machine}, not for ${wanted}`, {
      code: "ELF_WRONG_MACHINE",
      details: { machine, wanted: target.machine },
      hint: target.endianHint,
    });
  }
  const segments = loadSegments(file, view, name);
  if (segments.length === 0) {
    throw new VmmError(`${name}: nothing to load (no PT_LOAD segment)`, { code: "ELF_NO_SEGMENT" });
  }
  const end = segments.reduce((top, segment) => Math.max(top, segment.address + segment.memorySize), 0);
  return { entry: physical(view, 24), segments, end };
}

function loadSegments(file: Uint8Array, view: DataView, name: string): ElfSegment[] {
  const tableAt = size64(view, 32);
  const entrySize = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  if (count > 0 && entrySize < PHDR_SIZE) throw truncated(name, "program header", PHDR_SIZE, entrySize);
  if (tableAt + count * entrySize > file.length) {
    throw truncated(name, "program header table", tableAt + count * entrySize, file.length);
  }
  const segments: ElfSegment[] = [];
  for (let index = 0; index < count; index++) {
    const at = tableAt + index * entrySize;
    const memorySize = size64(view, at + 40);
    if (view.getUint32(at, true) !== PT_LOAD || memorySize === 0) continue;
    const offset = size64(view, at + 8);
    const fileSize = Math.min(size64(view, at + 32), memorySize);
    if (offset + fileSize > file.length) throw truncated(name, `segment ${index}`, offset + fileSize, file.length);
    segments.push({ address: physical(view, at + 24), bytes: file.subarray(offset, offset + fileSize), memorySize });
  }
  return segments;
}

function truncated(name: string, what: string, needed: number, has: number): VmmError {
  return new VmmError(`${name}: the file is cut short: its ${what} needs ${needed} bytes, there are ${has}`, {
    code: "ELF_TRUNCATED",
    details: { what, needed, has },
    hint: "copy the file again",
  });
}

/** Copies the image into RAM (which starts at guest physical 0) and zeroes what the file leaves out. Throws VmmError ELF_TOO_BIG. */
export function loadElf(image: ElfImage, ram: Uint8Array, name = "kernel"): void {
  for (const { address, bytes, memorySize } of image.segments) {
    if (address + memorySize > ram.length) {
      throw new VmmError(
        `${name}: needs memory up to ${hex(address + memorySize)}, but the guest has ${hex(ram.length)}`,
        {
          code: "ELF_TOO_BIG",
          details: { address, memorySize, ram: ram.length },
          hint: `give the guest at least ${Math.ceil((address + memorySize) / 0x100000)} MiB`,
        },
      );
    }
    ram.set(bytes, address);
    ram.fill(0, address + bytes.length, address + memorySize);
  }
}
