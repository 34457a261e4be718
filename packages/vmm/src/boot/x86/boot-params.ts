// boot_params, "the zero page": what a kernel is told at its 64-bit entry, pointed at by RSI.
// Source: Linux Documentation/arch/x86/zero-page.rst, arch/x86/include/uapi/asm/bootparam.h.
// Invariants: everything that is not set is zero, the sentinel at 0x1ef above all (else the kernel distrusts the rest).
import { VmmError } from "../../errors.ts";
import type { AddressRange, E820Entry } from "./e820.ts";
import { HDR, HDR_START, LOADED_HIGH, LOADER_UNDEFINED } from "./setup-header.ts";

export const BOOT_PARAMS_SIZE = 4096;
const ACPI_RSDP_ADDR = 0x70;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_ENTRY_SIZE = 20;
export const E820_MAX = 128;
const VID_MODE_NORMAL = 0xffff;

export interface BootParams {
  /** `struct setup_header` as the kernel's file has it. */
  readonly setupHeader: Uint8Array;
  /** Below 4 GiB. */
  readonly commandLine: number;
  /** Below 4 GiB. */
  readonly initrd: AddressRange | null;
  /** ACPI's root pointer; 0 for a guest without ACPI, which then searches for itself. */
  readonly rsdpAddress: number;
  readonly e820: readonly E820Entry[];
}

/** The page's bytes. Throws VmmError USAGE_CONFIG for a memory map of more than 128 entries. */
export function encodeBootParams({ setupHeader, commandLine, initrd, rsdpAddress, e820 }: BootParams): Uint8Array {
  if (e820.length > E820_MAX) {
    throw new VmmError(`boot parameters: a memory map of ${e820.length} entries; ${E820_MAX} fit`, {
      code: "USAGE_CONFIG",
      details: { entries: e820.length },
    });
  }
  const page = new Uint8Array(BOOT_PARAMS_SIZE);
  const view = new DataView(page.buffer);
  const u64 = (at: number, value: number): void => {
    view.setUint32(at, value % 0x1_0000_0000, true);
    view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  };
  page.set(setupHeader, HDR_START);
  view.setUint16(HDR.vid_mode, VID_MODE_NORMAL, true);
  view.setUint8(HDR.type_of_loader, LOADER_UNDEFINED);
  view.setUint8(HDR.loadflags, view.getUint8(HDR.loadflags) | LOADED_HIGH);
  view.setUint32(HDR.ramdisk_image, initrd?.start ?? 0, true);
  view.setUint32(HDR.ramdisk_size, initrd?.size ?? 0, true);
  view.setUint32(HDR.cmd_line_ptr, commandLine, true);
  u64(HDR.setup_data, 0);
  u64(ACPI_RSDP_ADDR, rsdpAddress);
  view.setUint8(E820_ENTRIES, e820.length);
  e820.forEach((entry, index) => {
    const at = E820_TABLE + index * E820_ENTRY_SIZE;
    u64(at, entry.start);
    u64(at + 8, entry.size);
    view.setUint32(at + 16, entry.type, true);
  });
  return page;
}
