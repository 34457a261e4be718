// Is there an IOMMU, did the kernel turn it on, and are interrupts of devices kept apart?
// Sources: Documentation/admin-guide/kernel-parameters.txt (intel_iommu, amd_iommu, iommu, intremap); sysfs-kernel-iommu_groups;
// the names of interrupt chips in /proc/interrupts (drivers/iommu/{intel,amd}: "IR-" where remapping is on).
import type { Arch, Host } from "@minivmm/host";
import { textFile } from "@minivmm/pci-hotreset";
import { type CheckResult, counted, type Examination, fail, pass, warn } from "./check.ts";

const ACPI = "/sys/firmware/acpi/tables";
const PARAMETERS = /^(?:(?:intel|amd)_iommu|iommu|iommu\.[a-z_]+|intremap|nointremap|noiommu)(?:=|$)/;
const UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";

/** Groups behind a real IOMMU; VFIO makes others that only stand in for one. */
const translated = ({ groups }: Examination) => groups.filter(({ noiommu }) => !noiommu);

export function checkIommu(examination: Examination): CheckResult {
  const { host, groups } = examination;
  const real = translated(examination);
  const unit = host.readdir("/sys/class/iommu");
  const details = { groups: real.length, noiommuGroups: groups.length - real.length };
  if (real.length > 0) return pass("iommu", `on, ${counted(real.length, "group")}`, details);
  const message =
    groups.length > 0
      ? "off: VFIO's groups only stand in for an IOMMU, nothing confines a device's DMA"
      : "off or absent: there is no IOMMU group";
  if (host.arch === "ppc64le") {
    return fail("iommu", message, "start Linux on the bare machine or give the partition PCI slots", details);
  }
  const described = host.exists(`${ACPI}/DMAR`) || host.exists(`${ACPI}/IVRS`);
  if (described || (typeof unit !== "number" && unit.length > 0)) {
    return fail("iommu", message, "the firmware offers one: start the kernel with intel_iommu=on (Intel)", details);
  }
  const remedy =
    "turn it on in the firmware (VT-d, AMD-Vi; of a virtual machine: in its configuration) and start with intel_iommu=on (Intel)";
  return fail("iommu", message, remedy, details);
}

export function checkCommandLine(examination: Examination): CheckResult {
  const id = "kernel-command-line";
  const { host } = examination;
  const text = textFile(host, "/proc/cmdline");
  const on = translated(examination).length > 0;
  if (text === null) {
    const details = { parameters: null };
    if (on) return pass(id, "unknown, and the IOMMU is on", details);
    return warn(id, "unknown: /proc/cmdline cannot be read", "look at it with root's rights", details);
  }
  const parameters = text.split(/\s+/).filter((word) => PARAMETERS.test(word));
  const details = { parameters };
  const said = parameters.length === 0 ? "says nothing of the IOMMU" : parameters.join(" ");
  if (on) {
    const passthrough = parameters.some((word) => /^iommu(?:\.passthrough)?=(?:pt|1|on)$/.test(word));
    return pass(id, passthrough ? `${said}: the host's own devices are not translated, guests' are` : said, details);
  }
  const off = parameters.find((word) => /^(?:(?:intel_|amd_)?iommu=.*\boff\b|noiommu)/.test(word));
  if (off !== undefined) return fail(id, `${said}: it turns the IOMMU off`, `take ${off} away and restart`, details);
  if (host.arch === "ppc64le" || parameters.some((word) => /^(?:intel|amd)_iommu=(?:.*,)?(?:on|force)/.test(word))) {
    return pass(id, said, details);
  }
  return warn(id, said, "on Intel machines add intel_iommu=on and restart; AMD's is on by itself", details);
}

export function checkInterrupts(examination: Examination): CheckResult {
  const id = "interrupt-remapping";
  const { host } = examination;
  if (translated(examination).length === 0) {
    return warn(id, "not looked at: there is no IOMMU that could remap", "turn the IOMMU on first", {
      remapping: null,
    });
  }
  if (isolatedByBridge(host.arch)) return pass(id, "host bridges keep interrupts apart", { remapping: true });
  const remapping = remaps(host);
  const unsafe = textFile(host, UNSAFE) === "Y";
  const details = { remapping, unsafeAllowed: unsafe };
  if (remapping) return pass(id, "on", details);
  if (unsafe) {
    const remedy = `echo 0 > ${UNSAFE}, unless every guest is trusted`;
    return warn(id, "VFIO is told to do without: a guest could raise any interrupt of the host", remedy, details);
  }
  if (remapping === null) {
    const remedy = 'look for "remapping" in the kernel\'s log: without it VFIO refuses to attach a group (EPERM)';
    return warn(id, "unknown: /proc/interrupts cannot be read", remedy, details);
  }
  const remedy = "turn it on in the firmware (x2APIC, interrupt remapping) and take intremap=off away";
  return fail(id, "off: VFIO refuses to attach a group (EPERM)", remedy, details);
}

const isolatedByBridge = (arch: Arch): boolean => arch === "ppc64le";

/** Chips behind remapping hardware carry it in their names; null when they cannot be read. */
function remaps(host: Host): boolean | null {
  const text = textFile(host, "/proc/interrupts");
  return text === null ? null : /\bIR-(?:PCI|IO|HPET|DMAR)/.test(text);
}
