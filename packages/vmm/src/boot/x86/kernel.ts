// Kernels that a 64-bit PC can be started with: a bzImage with a 64-bit entry point, or a 64-bit x86 ELF file (vmlinux,
// or a small static program that wants to be entered the same way).
// Source: Linux Documentation/arch/x86/boot.rst, protocol 2.12 and later.
// Invariant: what is returned lies at 1 MiB or above and is entered inside itself; nothing was copied yet.
import { hex, VmmError } from "../../errors.ts";
import { ELF_X86_64, type ElfImage, parseElf } from "../elf.ts";
import {
  BOOT_FLAG,
  HDR,
  HDR_LIMIT,
  HDR_MAGIC,
  HDR_START,
  LOADED_HIGH,
  madeUpSetupHeader,
  PROTOCOL_MINIMUM,
  XLF_KERNEL_64,
} from "./setup-header.ts";

export interface X86Kernel extends ElfImage {
  readonly format: "bzimage" | "elf";
  /** First address that the kernel uses; `end` includes what it needs behind its bytes to unpack itself. */
  readonly start: number;
  /** `struct setup_header`, for boot_params at 0x1f1. A view of a bzImage's own. */
  readonly setupHeader: Uint8Array;
  /** Highest address that a byte of the initrd may have. */
  readonly initrdMax: number;
  /** Bytes of the command line, without the final NUL. */
  readonly commandLineMax: number;
  /** What a bzImage says of itself, "6.1.0-13-amd64 (...) #1 SMP ..."; null for ELF. */
  readonly version: string | null;
}

/** Everything below belongs to boot_params, firmware tables and holes. */
const LOWEST = 0x10_0000;
const ELF_MAGIC = 0x7f454c46;
const SECTOR = 512;
/** Behind the first byte of the protected-mode part. */
const ENTRY_64 = 0x200;

/**
 * Recognises the file. Throws VmmError BZIMAGE_NOT_A_KERNEL, _TOO_OLD, _NO_64BIT_ENTRY, _TRUNCATED, KERNEL_BAD_PLACE,
 * or what parseElf throws for a file that starts as ELF does.
 */
export function parseX86Kernel(file: Uint8Array, name = "kernel"): X86Kernel {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const kernel = file.length >= 4 && view.getUint32(0) === ELF_MAGIC ? fromElf(file, name) : fromBzImage(file, name);
  if (kernel.start < LOWEST) {
    throw new VmmError(`${name}: wants to be at ${hex(kernel.start)}; what lies below ${hex(LOWEST)} is not its own`, {
      code: "KERNEL_BAD_PLACE",
      details: { start: kernel.start, lowest: LOWEST },
      hint: "link it at 1 MiB or above; a program for an operating system, or one that is moved when loaded, is no kernel",
    });
  }
  if (kernel.entry < kernel.start || kernel.entry >= kernel.end) {
    throw new VmmError(`${name}: its entry ${hex(kernel.entry)} is outside of it`, {
      code: "KERNEL_BAD_PLACE",
      details: { entry: kernel.entry, start: kernel.start, end: kernel.end },
      hint: "the ELF entry is a physical address, in a loaded segment",
    });
  }
  return kernel;
}

function fromElf(file: Uint8Array, name: string): X86Kernel {
  const image = parseElf(file, name, ELF_X86_64);
  const setupHeader = madeUpSetupHeader();
  const header = new DataView(setupHeader.buffer);
  return {
    ...image,
    format: "elf",
    start: image.segments.reduce((low, segment) => Math.min(low, segment.address), Number.POSITIVE_INFINITY),
    setupHeader,
    initrdMax: header.getUint32(HDR.initrd_addr_max - HDR_START, true),
    commandLineMax: header.getUint32(HDR.cmdline_size - HDR_START, true),
    version: null,
  };
}

function fromBzImage(file: Uint8Array, name: string): X86Kernel {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (
    file.length < HDR.header + 4 ||
    view.getUint16(HDR.boot_flag, true) !== BOOT_FLAG ||
    view.getUint32(HDR.header, true) !== HDR_MAGIC
  ) {
    throw new VmmError(`${name}: neither a bzImage nor an ELF file`, {
      code: "BZIMAGE_NOT_A_KERNEL",
      details: { name, size: file.length },
      hint: "give an x86-64 Linux kernel as it lies in /boot (vmlinuz), or its uncompressed vmlinux",
    });
  }
  const headerEnd = Math.min(HDR.header + view.getUint8(HDR.jump_length), HDR_LIMIT);
  if (file.length < headerEnd) throw truncated(name, "setup header", headerEnd, file.length);
  const protocol = view.getUint16(HDR.version, true);
  if (protocol < PROTOCOL_MINIMUM || headerEnd < HDR.init_size + 4) {
    throw new VmmError(`${name}: speaks boot protocol ${dotted(protocol)}, ${dotted(PROTOCOL_MINIMUM)} is needed`, {
      code: "BZIMAGE_TOO_OLD",
      details: { protocol, needed: PROTOCOL_MINIMUM },
      hint: "use Linux 3.8 or later",
    });
  }
  const high = (view.getUint8(HDR.loadflags) & LOADED_HIGH) !== 0;
  if (!high || (view.getUint16(HDR.xloadflags, true) & XLF_KERNEL_64) === 0) {
    throw new VmmError(`${name}: a kernel without a 64-bit entry point`, {
      code: "BZIMAGE_NO_64BIT_ENTRY",
      details: { loadedHigh: high, xloadflags: view.getUint16(HDR.xloadflags, true) },
      hint: "use an x86-64 (amd64) kernel; 32-bit ones (i386, i686) are not started",
    });
  }
  const payloadAt = ((view.getUint8(HDR.setup_sects) || 4) + 1) * SECTOR;
  const payloadSize = view.getUint32(HDR.syssize, true) * 16;
  if (payloadAt + payloadSize > file.length) {
    throw truncated(name, "protected-mode part", payloadAt + payloadSize, file.length);
  }
  const preferred = view.getUint32(HDR.pref_address + 4, true) * 0x1_0000_0000 + view.getUint32(HDR.pref_address, true);
  const start = preferred === 0 ? LOWEST : preferred;
  const bytes = file.subarray(payloadAt, payloadAt + payloadSize);
  return {
    format: "bzimage",
    entry: start + ENTRY_64,
    segments: [{ address: start, bytes, memorySize: bytes.length }],
    start,
    end: start + Math.max(view.getUint32(HDR.init_size, true), bytes.length),
    setupHeader: file.subarray(HDR_START, headerEnd),
    initrdMax: view.getUint32(HDR.initrd_addr_max, true),
    commandLineMax: view.getUint32(HDR.cmdline_size, true),
    version: versionText(file, view.getUint16(HDR.kernel_version, true)),
  };
}

/** The NUL-terminated text that the header points at, if it does. */
function versionText(file: Uint8Array, pointer: number): string | null {
  const start = pointer + SECTOR;
  const end = pointer === 0 ? -1 : file.subarray(0, start + 256).indexOf(0, start);
  return end <= start ? null : new TextDecoder("latin1").decode(file.subarray(start, end));
}

const dotted = (protocol: number): string => `${protocol >> 8}.${protocol & 0xff}`;

function truncated(name: string, what: string, needed: number, has: number): VmmError {
  return new VmmError(`${name}: the file is cut short: its ${what} needs ${needed} bytes, there are ${has}`, {
    code: "BZIMAGE_TRUNCATED",
    details: { what, needed, has },
    hint: "copy the file again",
  });
}
