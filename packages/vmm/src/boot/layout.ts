// Where a direct kernel entry puts things in RAM: image at its own place from 0 up, initrd behind it, device tree near
// the top of what the kernel reaches early. Linux keeps the blob and the initrd where they are as long as they stay
// clear of the image; 4 MiB behind the image are left free because the kernel's early allocations start there.
import { VmmError } from "../errors.ts";

export interface BootLayoutRequest {
  readonly ramBytes: number;
  /** First address behind the kernel's last byte (bss included). */
  readonly kernelEnd: number;
  readonly initrdBytes: number;
  readonly fdtBytes: number;
}

export interface BootLayout {
  readonly initrdStart: number;
  readonly initrdEnd: number;
  readonly fdtStart: number;
}

const ALIGN = 0x1_0000;
const GAP = 0x40_0000;
/** The device tree stays below this, within the first memory block that the kernel maps early. */
const FDT_CEILING = 0x3000_0000;

const alignUp = (value: number): number => Math.ceil(value / ALIGN) * ALIGN;
const alignDown = (value: number): number => Math.floor(value / ALIGN) * ALIGN;

/** Places initrd and device tree. Throws VmmError USAGE_MEMORY_TOO_SMALL with the size that would do. */
export function placeBootImages(request: BootLayoutRequest): BootLayout {
  const { ramBytes, kernelEnd, initrdBytes, fdtBytes } = request;
  // A small program in a small memory needs no gap of a kernel's size.
  const gap = Math.min(GAP, alignDown(kernelEnd));
  const initrdStart = alignUp(kernelEnd + gap);
  const initrdEnd = initrdStart + initrdBytes;
  const fdtStart = alignDown(Math.min(ramBytes, FDT_CEILING) - fdtBytes);
  if (fdtStart >= initrdEnd) return { initrdStart, initrdEnd, fdtStart };
  const fdtBehind = alignUp(initrdEnd);
  const needed = alignUp(fdtBehind + fdtBytes);
  if (needed <= ramBytes) return { initrdStart, initrdEnd, fdtStart: fdtBehind };
  throw new VmmError(
    `guest memory of ${mib(ramBytes)} MiB is too small: kernel (${mib(kernelEnd)} MiB), initrd (${mib(initrdBytes)} MiB) ` +
      `and device tree need ${mib(needed)} MiB`,
    {
      code: "USAGE_MEMORY_TOO_SMALL",
      details: { ...request, needed },
      hint: `give the guest at least ${mib(needed)} MiB; Linux itself wants some 50 MiB more to run in`,
    },
  );
}

/** Whole MiB, rounded up. */
function mib(bytes: number): number {
  return Math.ceil(bytes / 0x100000);
}
