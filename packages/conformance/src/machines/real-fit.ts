// Whether this machine is one that a case was recorded on: its kernel's version, its devices, and the way it was booted.
// Sources: sysfs of vfio_pci, of intel-iommu (capability register: VT-d specification, CAP_REG.MGAW), /proc/interrupts.

import type { Host } from "@minivmm/host";
import type { RecordedMachine } from "../machine.ts";

const PCI = "/sys/bus/pci/devices";
const NOINTXMASK = "/sys/module/vfio_pci/parameters/nointxmask";
const IOMMU_CAPABILITIES = "/sys/class/iommu/dmar0/intel-iommu/cap";
const WIDE_BITS = 48;
const NARROW_BITS = 39;

/** Why a case of `recorded` cannot be played here; null if it can. */
export function unfit(host: Host, recorded: RecordedMachine): string | null {
  if (recorded.arch !== host.arch) return `recorded on ${recorded.arch}, this machine is ${host.arch}`;
  const release = textOf(host, "/proc/sys/kernel/osrelease");
  if (minor(release) !== minor(recorded.release))
    return `recorded on Linux ${minor(recorded.release)}, this is ${release}`;
  if (host.pageSize !== recorded.pageSize) return `recorded with pages of ${recorded.pageSize} bytes`;
  if (!host.exists("/sys/module/vfio_pci")) return "vfio-pci is not loaded";
  const rig = booted(host, recorded);
  if (rig !== recorded.rig) return `recorded on a machine booted as "${recorded.rig}", this one is "${rig}"`;
  const missing = recorded.devices.filter(({ bdf }) => !host.exists(`${PCI}/${bdf}`));
  return missing.length > 0 ? `no device ${missing.map(({ name, bdf }) => `${name} (${bdf})`).join(", ")}` : null;
}

/** The way in which this machine was booted, by the names of recordings. */
function booted(host: Host, { devices }: RecordedMachine): string {
  if (!devices.some(({ bdf }) => host.exists(`${PCI}/${bdf}/iommu_group`))) return "noiommu";
  if (textOf(host, NOINTXMASK) === "Y") return "nointxmask";
  if (!textOf(host, "/proc/interrupts").includes("IR-")) return "nointremap";
  const width = addressBits(host);
  if (width === NARROW_BITS) return "aw39";
  return width === WIDE_BITS ? "full" : `an IOMMU of ${width} address bits`;
}

/** Widest address that the IOMMU translates: bits 21..16 of its capabilities, plus 1. */
function addressBits(host: Host): number {
  const capabilities = BigInt(`0x${textOf(host, IOMMU_CAPABILITIES) || "0"}`);
  return Number((capabilities >> 16n) & 0x3fn) + 1;
}

const minor = (release: string): string => release.split(".").slice(0, 2).join(".");

export function textOf(host: Host, path: string): string {
  const content = host.readFile(path);
  return typeof content === "number" ? "" : new TextDecoder().decode(content).trim();
}
