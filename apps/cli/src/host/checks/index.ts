// All checks of a host, in order. The host is read once; then each check answers for itself.
import { ENODEV, type Host } from "@minivmm/host";
import { functionFacts, groupOwnership } from "@minivmm/pci-hotreset";
import { CliError } from "../../errors.ts";
import { listPci } from "../pci-list.ts";
import type { CheckResult, Examination } from "./check.ts";
import { checkDevice, checkGroups, checkNodes, checkReset } from "./groups.ts";
import { checkCommandLine, checkInterrupts, checkIommu } from "./iommu.ts";
import { checkKvm } from "./kvm.ts";
import { checkMemlock } from "./limits.ts";
import { checkBackEnd, checkContainer, checkDriver } from "./vfio.ts";

const CHECKS: readonly ((examination: Examination) => CheckResult)[] = [
  checkIommu,
  checkCommandLine,
  checkInterrupts,
  checkContainer,
  checkBackEnd,
  checkDriver,
  checkMemlock,
  checkKvm,
  checkDevice,
  checkGroups,
  checkNodes,
  checkReset,
];

/** One result for each of CHECK_IDS, in that order. `device` is a full address. Throws CliError NO_DEVICE. */
export function examineHost(host: Host, memoryBytes: number, device: string | null): CheckResult[] {
  if (device !== null && !host.exists(`/sys/bus/pci/devices/${device}`)) {
    throw new CliError(`there is no PCI device ${device} on ${host.name}`, {
      code: "NO_DEVICE",
      errno: ENODEV,
      details: { address: device },
      hint: "`minivmm devices` and `lspci -D` list them",
    });
  }
  const listed = host.readdir("/sys/kernel/iommu_groups");
  const ids = typeof listed === "number" ? [] : listed.map(Number).filter(Number.isInteger);
  const examination: Examination = {
    host,
    memoryBytes,
    device: device === null ? null : functionFacts(host, device),
    entries: listPci(host),
    groups: ids.sort((a, b) => a - b).map((id) => groupOwnership(host, id, [])),
  };
  return CHECKS.map((check) => check(examination));
}
