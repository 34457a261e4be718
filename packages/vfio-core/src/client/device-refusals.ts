/**
 * Turns an errno of a device call into what a user can act on: a region that cannot be mapped, interrupts that cannot be
 * had, a function that cannot be reset. Every function here returns the error to throw.
 *
 * Source: vfio_pci_core_mmap, vfio_pci_probe_mmaps, vfio_pci_ioctl_reset (vfio_pci_core.c), vfio_pci_intrs.c.
 */
import { EAGAIN, EBADF, EBUSY, EINVAL, ENOSPC, ENOTTY, errnoName, type Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import * as uapi from "../uapi.ts";
import { refused } from "./refusals.ts";
import { textFile } from "./text-file.ts";

const PCI_BASE_ADDRESS_0 = 0x10;
const BAR_IS_IO = 1;
const IRQ_NAMES = ["INTx", "MSI", "MSI-X", "the error interrupt", "the request interrupt"];

/** The device, as far as explanations ask it. Calls may throw VfioError. */
export interface RefusingDevice {
  readonly host: Host;
  readonly name: string;
  region(index: number): RegionFacts;
  irq(index: number): IrqFacts;
  readConfig(offset: number, size: 4): number;
}

interface RegionFacts {
  readonly size: number;
  readonly flags: number;
  readonly capabilities: readonly { readonly id: number }[];
}

interface IrqFacts {
  readonly count: number;
}

export interface RegionRange {
  readonly index: number;
  /** Bytes from the start of the region. */
  readonly offset: number;
  readonly length: number;
}

const TRAP =
  "Use readRegion and writeRegion for it, one call each access: a monitor leaves it unmapped, so that the guest's accesses trap.";

export function mapRefused(device: RefusingDevice, range: RegionRange, result: number): VfioError {
  const { index, offset, length } = range;
  const what = `${regionName(index)} of ${device.name} cannot be mapped`;
  const info = attempt(() => device.region(index));
  const details = { device: device.name, index, offset, length, size: info?.size ?? null };
  if (result === -EBUSY) {
    return new VfioError(`${what}: a driver of the host has its addresses (EBUSY)`, {
      code: "NOT_MAPPABLE",
      errno: EBUSY,
      details: { ...details, reason: "claimed" },
      hint: "See /proc/iomem: a boot framebuffer (efifb, simplefb) often has a display's. Until it is gone, reading and writing fail too.",
    });
  }
  if (result !== -EINVAL) return refused(what, result, details);
  const { reason, why, hint = TRAP } = unmappable(device, info, range);
  return new VfioError(`${what}: ${why} (EINVAL)`, {
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    details: { ...details, reason },
    hint,
  });
}

interface Unmappable {
  /** For programs: in `details.reason`. */
  readonly reason:
    | "absent"
    | "no-memory"
    | "ports"
    | "sub-page"
    | "outside"
    | "unaligned"
    | "sparse"
    | "msix-table"
    | "kernel";
  readonly why: string;
  readonly hint?: string;
}

function unmappable(device: RefusingDevice, info: RegionFacts | null, range: RegionRange): Unmappable {
  const { index, offset, length } = range;
  if (info === null || info.size === 0) {
    return { reason: "absent", why: "the function does not have it", hint: "Look at the sizes of its regions first." };
  }
  if (index > uapi.VFIO_PCI_BAR5_REGION_INDEX) {
    return { reason: "no-memory", why: "the kernel answers its accesses, no memory lies behind it" };
  }
  const { pageSize } = device.host;
  if ((info.flags & uapi.VFIO_REGION_INFO_FLAG_MMAP) === 0) {
    if ((device.readConfig(PCI_BASE_ADDRESS_0 + 4 * index, 4) & BAR_IS_IO) !== 0) {
      return { reason: "ports", why: "its registers are I/O ports, which have no memory addresses" };
    }
    if (info.size < pageSize) {
      const why = `its ${info.size} bytes share a page of ${pageSize} with what is not the device's`;
      return { reason: "sub-page", why };
    }
    return { reason: "kernel", why: "the kernel does not offer it" };
  }
  if (offset + length > Math.ceil(info.size / pageSize) * pageSize) {
    const why = `${length} bytes from ${offset} on go beyond its ${info.size}`;
    return { reason: "outside", why, hint: "Map less of it." };
  }
  if (offset % pageSize !== 0) {
    const why = `the offset ${offset} is no multiple of the page size ${pageSize}`;
    return { reason: "unaligned", why, hint: "Map from the start of a page." };
  }
  const has = (cap: number) => info.capabilities.some(({ id }) => id === cap);
  if (has(uapi.VFIO_REGION_INFO_CAP_SPARSE_MMAP)) {
    const hint = `Map the parts that mappableAreas() lists. ${TRAP}`;
    return { reason: "sparse", why: "only parts of it can be mapped", hint };
  }
  if (!has(uapi.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE)) {
    return { reason: "msix-table", why: "the page of the MSI-X table is in it, which kernels before 4.16 keep" };
  }
  return { reason: "kernel", why: "the kernel does not say why" };
}

export interface IrqRange {
  readonly index: number;
  readonly start: number;
  readonly count: number;
}

/** `what` is "cannot enable", "cannot trigger": the name of the interrupt follows. `enabling`: eventfds were to be connected. */
export function irqRefused(
  device: RefusingDevice,
  what: string,
  range: IrqRange,
  result: number,
  enabling: boolean,
): VfioError {
  const { index, start, count } = range;
  const sentence = `${device.name} ${what} ${IRQ_NAMES[index] ?? `interrupt index ${index}`}`;
  const info = attempt(() => device.irq(index));
  const details = { device: device.name, ...range, available: info?.count ?? null };
  const reason = irqReason(device, range, info, result, enabling);
  if (reason === null) return refused(sentence, result, details);
  const vectors = count > 1 ? ` for vectors ${start} to ${start + count - 1}` : "";
  return new VfioError(`${sentence}${vectors}: ${reason.why} (${errnoName(-result)})`, {
    code: reason.code,
    errno: -result,
    details,
    hint: reason.hint,
  });
}

interface IrqReason {
  readonly code: string;
  readonly why: string;
  readonly hint: string;
}

function irqReason(
  device: RefusingDevice,
  { index, start, count }: IrqRange,
  info: IrqFacts | null,
  result: number,
  enabling: boolean,
): IrqReason | null {
  switch (result) {
    case -EBUSY: {
      if (!enabling || index !== uapi.VFIO_PCI_INTX_IRQ_INDEX) return null;
      const line = textFile(device.host, `/sys/bus/pci/devices/${device.name}/irq`);
      return {
        code: "IRQ_BUSY",
        why: `line ${line ?? "(unknown)"} of the host is used by a driver that does not share it, or this device cannot`,
        hint: "/proc/interrupts tells by whom. Use MSI or MSI-X instead, or load vfio-pci without nointxmask=1 where the device can mask.",
      };
    }
    case -ENOSPC:
      return {
        code: "IRQ_BUSY",
        why: "the host has no vectors left",
        hint: "Ask for fewer, or free some that other devices have.",
      };
    case -EBADF:
      return { code: "IRQ_EVENTFD", why: "a descriptor is not open", hint: "Give eventfds, or -1 for none." };
    case -EINVAL: {
      if (info === null || start + count > info.count) {
        const why = info === null || info.count === 0 ? "the function has none" : `it has ${info.count} of them`;
        return { code: "IRQ_RANGE", why, hint: "Ask irq(index) for the number first." };
      }
      if (!enabling) return { code: "IRQ_MODE", why: "it is not enabled", hint: "Connect eventfds (setIrqs) first." };
      return {
        code: "IRQ_MODE",
        why: "another kind of interrupt is enabled, this one cannot grow, or a descriptor is no eventfd",
        hint: "One of INTx, MSI and MSI-X at a time, with all its vectors at once: disable what is enabled (disableIrqs) first.",
      };
    }
    default:
      return null;
  }
}

export function resetRefused(device: RefusingDevice, result: number): VfioError {
  const { name: bdf, host } = device;
  const at = `/sys/bus/pci/devices/${bdf}`;
  const listed = textFile(host, `${at}/reset_method`);
  const methods = listed === null || listed === "" ? [] : listed.split(/\s+/);
  const details = { device: bdf, methods };
  // One that could be reset when it was opened has no way any more only if somebody took them all away.
  if (result === -EINVAL || (result === -ENOTTY && listed === "")) {
    return new VfioError(`${bdf} cannot be reset alone: it has no reset of its own (${errnoName(-result)})`, {
      code: "NO_RESET",
      errno: -result,
      details,
      hint: "Reset its bus or slot with everything on it (a hot reset), or go without: it keeps the state of its last user.",
    });
  }
  if (result === -ENOTTY) {
    return new VfioError(`${bdf} did not come back from its reset (${[...methods, "ENOTTY"].join(", ")})`, {
      code: "RESET_FAILED",
      errno: ENOTTY,
      details,
      hint: "Reset its bus or slot (a hot reset); if it stays silent, remove it and rescan the bridge above, or restart the host.",
    });
  }
  if (result === -EAGAIN) {
    return new VfioError(`${bdf} cannot be reset now: somebody is busy with it (EAGAIN)`, {
      code: "RESET_BUSY",
      errno: EAGAIN,
      details,
      hint: "A driver is being bound, or another reset or an error recovery goes on; nothing was done: try again.",
    });
  }
  return refused(`${bdf} cannot be reset`, result, details);
}

function regionName(index: number): string {
  if (index <= uapi.VFIO_PCI_BAR5_REGION_INDEX) return `BAR ${index}`;
  const names = ["the ROM", "configuration space", "the VGA range"];
  return names[index - uapi.VFIO_PCI_ROM_REGION_INDEX] ?? `region ${index}`;
}

function attempt<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch {
    return null;
  }
}
