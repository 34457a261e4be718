/**
 * A device without an IOMMU group: is the IOMMU off or absent, why, and how it is turned on here. The kernel's command
 * line, the firmware's tables and the processor's maker tell as much as they can be read.
 * Source: Documentation/admin-guide/kernel-parameters.txt (intel_iommu, amd_iommu, iommu); drivers/iommu/{intel,amd}.
 */
import type { Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import { namesIn, textFile } from "./text-file.ts";

const GROUPS = "/sys/kernel/iommu_groups";
const TABLES = "/sys/firmware/acpi/tables";
const OFF = /^(?:(?:intel_|amd_)?iommu=(?:.*,)?off(?:,|$)|noiommu$)/;

type Vendor = "Intel" | "AMD" | "POWER" | null;

export function withoutGroup(host: Host, bdf: string): VfioError {
  const vendor = cpuVendor(host);
  const parameter = parameterOff(host);
  const others = groupsWithIommu(host);
  const off = parameter === null ? "off or absent" : `off (the kernel was started with ${parameter})`;
  const why = others > 0 ? "on, but not in front of this device" : off;
  return new VfioError(`${bdf} is in no IOMMU group, so nothing would confine its DMA: the IOMMU is ${why}`, {
    code: "NO_IOMMU_GROUP",
    details: { bdf, vendor, parameter, groups: others },
    hint: iommuRemedy(host),
  });
}

const ELSEWHERE = "Put it into another slot, or look for the reason in the kernel's log.";

/** How to get a device into an IOMMU group, as a sentence. */
export function iommuRemedy(host: Host): string {
  if (groupsWithIommu(host) > 0) return ELSEWHERE;
  const parameter = parameterOff(host);
  if (parameter !== null) return `Take ${parameter} off the kernel's command line, then reboot.`;
  const offered = host.exists(`${TABLES}/DMAR`) || host.exists(`${TABLES}/IVRS`);
  const firmware = (name: string) => (offered ? "The firmware offers one: " : `Enable ${name} in the firmware and `);
  switch (cpuVendor(host)) {
    case "POWER":
      return "Start Linux on the bare machine (powernv), or give the partition slots of its own.";
    case "Intel":
      return `${firmware("VT-d")}start the kernel with intel_iommu=on, then reboot.`;
    case "AMD":
      return `Enable AMD-Vi (IOMMU) in the firmware, then reboot; Linux uses it without a parameter (but not with amd_iommu=off).`;
    default:
      return `${firmware("VT-d (Intel) or AMD-Vi (AMD)")}start the kernel with intel_iommu=on (Intel; AMD needs no parameter), then reboot.`;
  }
}

function cpuVendor(host: Host): Vendor {
  if (host.arch === "ppc64le") return "POWER";
  const id = /^vendor_id\s*:\s*(\S+)/m.exec(textFile(host, "/proc/cpuinfo") ?? "")?.[1];
  if (id === "GenuineIntel") return "Intel";
  return id === "AuthenticAMD" || id === "HygonGenuine" ? "AMD" : null;
}

function parameterOff(host: Host): string | null {
  return (textFile(host, "/proc/cmdline") ?? "").split(/\s+/).find((word) => OFF.test(word)) ?? null;
}

/** Groups that VFIO makes where there is no IOMMU do not count. */
function groupsWithIommu(host: Host): number {
  return namesIn(host, GROUPS).filter((id) => textFile(host, `${GROUPS}/${id}/name`) !== "vfio-noiommu").length;
}
