// Puts a kernel, its command line and its initrd into a PC's RAM, with what the 64-bit boot protocol wants beside them:
// boot_params, a descriptor table, and tables that map the first 4 GiB. No firmware runs.
// Source: Linux Documentation/arch/x86/boot.rst ("64-bit BOOT PROTOCOL").
// Low memory: descriptor table 0x6000, boot_params 0x7000, page tables 0x9000 to 0xf000, command line from 0x20000. The
// kernel lies where it prefers to (it moves itself up there if it is put lower), the initrd as high as it may.
import type { GuestMemory } from "@minivmm/host";
import { hex, VmmError } from "../../errors.ts";
import { loadElf } from "../elf.ts";
import { BOOT_PARAMS_SIZE, encodeBootParams } from "./boot-params.ts";
import { type AddressRange, type E820Entry, e820Map } from "./e820.ts";
import type { X86Kernel } from "./kernel.ts";
import { bootGdt, GDT_SIZE, IDENTITY_MAP_SIZE, identityMap } from "./page-tables.ts";

export interface X86LoadRequest {
  /** RAM from guest physical 0 up to where the hole for devices begins. */
  readonly ram: GuestMemory;
  /** Bytes of RAM from 4 GiB on. */
  readonly highRamBytes: number;
  readonly kernel: X86Kernel;
  /** For messages. */
  readonly kernelName?: string;
  readonly initrd?: Uint8Array | null;
  /** Kernel command line. */
  readonly append?: string;
  /** ACPI's root pointer; 0: none. */
  readonly rsdpAddress: number;
  /** Ranges that the kernel must not use as RAM, and those that it must find reserved though no RAM is there. */
  readonly reserved: readonly AddressRange[];
}

/** Where things came to be, and what the CPU that enters the kernel is to hold. */
export interface X86Boot {
  readonly entry: number;
  /** Address of boot_params, for RSI. */
  readonly bootParams: number;
  readonly cr3: number;
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly kernel: AddressRange;
  readonly initrd: AddressRange | null;
  readonly commandLine: AddressRange;
  readonly e820: readonly E820Entry[];
}

const GDT_AT = 0x6000;
const BOOT_PARAMS_AT = 0x7000;
const PAGE_TABLES_AT = 0x9000;
const COMMAND_LINE_AT = 0x2_0000;
/** More than any kernel takes; below 640 KiB together with its place. */
const COMMAND_LINE_LIMIT = 0x1_0000;
const HIGH_RAM_START = 0x1_0000_0000;
const MIB = 0x10_0000;
const PAGE = 4096;

/** Throws VmmError USAGE_MEMORY_TOO_SMALL, USAGE_COMMAND_LINE or USAGE_CONFIG; then nothing was written. */
export function loadX86Guest(request: X86LoadRequest): X86Boot {
  const { ram, kernel, kernelName = "kernel", rsdpAddress, highRamBytes, reserved } = request;
  const commandLine = encodeCommandLine(request.append ?? "", kernel.commandLineMax);
  const initrd = request.initrd && request.initrd.length > 0 ? request.initrd : null;
  const initrdRange = placeInitrd(kernel, ram.size, initrd?.length ?? 0);
  const e820 = e820Map(
    [
      { start: 0, size: ram.size },
      { start: HIGH_RAM_START, size: highRamBytes },
    ],
    reserved,
  );
  const { setupHeader } = kernel;
  const params = { setupHeader, commandLine: COMMAND_LINE_AT, initrd: initrdRange, rsdpAddress, e820 };
  const bootParams = encodeBootParams(params);

  loadElf(kernel, ram.u8, kernelName);
  if (initrd !== null && initrdRange !== null) ram.writeBytes(initrdRange.start, initrd);
  ram.writeBytes(COMMAND_LINE_AT, commandLine);
  ram.writeBytes(BOOT_PARAMS_AT, bootParams);
  ram.writeBytes(GDT_AT, bootGdt());
  ram.writeBytes(PAGE_TABLES_AT, identityMap(PAGE_TABLES_AT));
  return {
    entry: kernel.entry,
    bootParams: BOOT_PARAMS_AT,
    cr3: PAGE_TABLES_AT,
    gdt: { base: GDT_AT, limit: GDT_SIZE - 1 },
    kernel: { start: kernel.start, size: kernel.end - kernel.start },
    initrd: initrdRange,
    commandLine: { start: COMMAND_LINE_AT, size: commandLine.length },
    e820,
  };
}

/** What is written below 1 MiB, for those that want to keep clear of it. */
export const X86_BOOT_AREA: readonly AddressRange[] = [
  { start: GDT_AT, size: GDT_SIZE },
  { start: BOOT_PARAMS_AT, size: BOOT_PARAMS_SIZE },
  { start: PAGE_TABLES_AT, size: IDENTITY_MAP_SIZE },
  { start: COMMAND_LINE_AT, size: COMMAND_LINE_LIMIT },
];

/** The text with its NUL. */
function encodeCommandLine(text: string, kernelMax: number): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const max = Math.min(kernelMax, COMMAND_LINE_LIMIT - 1);
  if (bytes.length - 1 > max) {
    throw new VmmError(`the kernel's command line has ${bytes.length - 1} bytes; the kernel takes ${max}`, {
      code: "USAGE_COMMAND_LINE",
      details: { length: bytes.length - 1, max },
      hint: "shorten what is given with -append",
    });
  }
  if (bytes.indexOf(0) !== bytes.length - 1) {
    throw new VmmError("the kernel's command line has a NUL inside", {
      code: "USAGE_COMMAND_LINE",
      hint: "the kernel would not see what is behind it",
    });
  }
  return bytes;
}

/** As high as RAM and kernel allow. Also checks that the kernel itself fits. */
function placeInitrd(kernel: X86Kernel, ramBytes: number, initrdBytes: number): AddressRange | null {
  const behindKernel = Math.ceil(kernel.end / PAGE) * PAGE;
  const needed = initrdBytes === 0 ? kernel.end : behindKernel + initrdBytes;
  if (needed > ramBytes) {
    const mib = (bytes: number): number => Math.ceil(bytes / MIB);
    throw new VmmError(
      `guest memory of ${mib(ramBytes)} MiB (below 4 GiB) is too small: the kernel needs it up to ${hex(kernel.end)}` +
        `${initrdBytes === 0 ? "" : `, and its initrd ${mib(initrdBytes)} MiB more`}`,
      {
        code: "USAGE_MEMORY_TOO_SMALL",
        details: { ramBytes, kernelEnd: kernel.end, initrdBytes, needed },
        hint: `give the guest at least ${mib(needed)} MiB; Linux itself wants some 100 MiB more to run in`,
      },
    );
  }
  if (initrdBytes === 0) return null;
  const top = Math.min(ramBytes, kernel.initrdMax + 1);
  const start = Math.floor((top - initrdBytes) / PAGE) * PAGE;
  if (start < behindKernel) {
    throw new VmmError(`the initrd of ${initrdBytes} bytes does not fit between kernel and ${hex(top)}`, {
      code: "USAGE_CONFIG",
      details: { initrdBytes, kernelEnd: kernel.end, initrdMax: kernel.initrdMax },
      hint: "the kernel itself sets this limit; use a smaller initrd",
    });
  }
  return { start, size: initrdBytes };
}
