// One question that `minivmm doctor` asks a host, and how its answer looks.
// Invariants: a check changes nothing (nodes are opened for a moment); PASS has no remedy, WARN and FAIL have exactly one;
// what cannot be read is unknown, never a failure by itself.
import type { Host } from "@minivmm/host";
import type { FunctionFacts, GroupOwnership } from "@minivmm/pci-hotreset";
import type { PciListEntry } from "../pci-list.ts";

export type CheckStatus = "PASS" | "WARN" | "FAIL";

/** Names are stable: programs read them. In the order in which they are asked. */
export const CHECK_IDS = [
  "iommu",
  "kernel-command-line",
  "interrupt-remapping",
  "vfio-container",
  "vfio-iommu",
  "vfio-pci",
  "memlock",
  "kvm",
  "device",
  "groups",
  "group-nodes",
  "reset",
] as const;
export type CheckId = (typeof CHECK_IDS)[number];

export interface CheckResult {
  readonly id: CheckId;
  readonly status: CheckStatus;
  /** What was found: one line without a full stop. */
  readonly message: string;
  /** What to do about it, in the same form; null for PASS. */
  readonly remedy: string | null;
  /** Facts for programs; keys depend on the check. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** What the checks share: read once. */
export interface Examination {
  readonly host: Host;
  readonly memoryBytes: number;
  /** The function that was asked about, null for none. */
  readonly device: FunctionFacts | null;
  readonly entries: readonly PciListEntry[];
  /** IOMMU groups, ascending; those that only stand in for an IOMMU too. */
  readonly groups: readonly GroupOwnership[];
}

type Details = Readonly<Record<string, unknown>>;

export const pass = (id: CheckId, message: string, details: Details = {}): CheckResult => ({
  id,
  status: "PASS",
  message,
  remedy: null,
  details,
});
export const warn = (id: CheckId, message: string, remedy: string, details: Details = {}): CheckResult => ({
  id,
  status: "WARN",
  message,
  remedy,
  details,
});
export const fail = (id: CheckId, message: string, remedy: string, details: Details = {}): CheckResult => ({
  id,
  status: "FAIL",
  message,
  remedy,
  details,
});

/** "a, b and 3 more". */
export function some(names: readonly string[], limit = 4): string {
  const shown = names.slice(0, names.length > limit + 1 ? limit : names.length);
  const rest = names.length - shown.length;
  return rest === 0 ? shown.join(", ") : `${shown.join(", ")} and ${rest} more`;
}

/** "1 group", "2 groups". */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
