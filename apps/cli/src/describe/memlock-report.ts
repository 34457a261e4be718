// What `minivmm memlock` says: what a described VM will have charged as locked memory, against the limit of this process, before it
// starts. Nothing is locked to find out: containers are asked, the sums are the kernel's rules.

import type { Host } from "@minivmm/host";
import {
  type ContainerFacts,
  isAtLeast,
  kernelRelease,
  kvmTceFacts,
  type LockFacts,
  type LockPrediction,
  lockFacts,
  predictLockedMemory,
} from "@minivmm/vmm/attributes";
import type { DescribeRequest } from "../options/describe-request.ts";
import { describedOnly } from "./described-facts.ts";

/** "fits": at the start and in the worst case. "fits-start": what the guest may add does not. "too-little": no start. */
export type Verdict = "fits" | "fits-start" | "too-little" | "cannot-start";

export interface MemlockReport extends LockPrediction {
  readonly machine: string;
  readonly runnable: boolean;
  readonly host: string;
  readonly memoryBytes: number;
  readonly limit: LockFacts;
  readonly verdict: Verdict;
  /** What to do about it, the simplest first; empty when it fits. */
  readonly remedies: readonly string[];
  /** Every container was asked, and KVM where it is wanted: the sums hold to the page. */
  readonly exact: boolean;
  readonly containers: readonly ContainerFacts[];
  readonly notes: readonly string[];
}

/** DMA window of a virtual SCSI adapter. */
const VSCSI_WINDOW = 0x1000_0000;

/** The report on a host that is open. A container that the VM can do without is left out where only that lets it start. */
export function describeLocks(
  host: Host,
  title: string,
  request: DescribeRequest,
  containers: readonly ContainerFacts[],
): MemlockReport {
  const all = describeAll(host, title, request, containers);
  const needed = containers.filter(({ optional }) => !optional);
  if (all.verdict !== "too-little" || needed.length === containers.length) return all;
  const fewer = describeAll(host, title, request, needed);
  if (fewer.verdict === "too-little") return all;
  const names = containers.flatMap(({ optional, functions }) => (optional ? functions : []));
  const note = `${names.join(", ")} would share a container with functions whose DMA is treated otherwise: one more does not fit`;
  return { ...fewer, notes: [...fewer.notes, note] };
}

function describeAll(
  host: Host,
  title: string,
  request: DescribeRequest,
  containers: readonly ContainerFacts[],
): MemlockReport {
  const pseries = request.kind === "pseries";
  const kvm = pseries && request.kvm ? kvmTceFacts(host) : null;
  const kernel = kernelRelease(host);
  const prediction = predictLockedMemory({
    memoryBytes: request.memoryBytes,
    pageSize: host.pageSize,
    machine: request.kind,
    dmaWindowBytes: request.dmaWindowBytes,
    ddw: request.ddw,
    kvm: typeof kvm === "string" ? null : kvm,
    vfioAccel: request.vfioAccel,
    vioWindows: request.devices.flatMap(({ driver }) => (driver === "spapr-vscsi" ? [VSCSI_WINDOW] : [])),
    containers,
    kernel,
  });
  const limit = lockFacts(host);
  const obstacle = obstacleOf(containers, pseries, kvm);
  const verdict = obstacle === null ? judge(prediction, limit, host.pageSize) : "cannot-start";
  return {
    machine: request.machine,
    runnable: request.runnable,
    host: title,
    memoryBytes: request.memoryBytes,
    ...prediction,
    limit,
    verdict,
    remedies: remediesOf(verdict, prediction, limit, containers),
    exact: containers.every(({ asked }) => asked) && typeof kvm !== "string" && kernel !== null,
    containers,
    notes: [
      ...(obstacle === null ? [] : [obstacle]),
      ...notesOf(request, containers, limit, kernel !== null, isAtLeast(kernel, 4, 7)),
    ],
  };
}

function obstacleOf(
  containers: readonly ContainerFacts[],
  pseries: boolean,
  kvm: ReturnType<typeof kvmTceFacts> | null,
): string | null {
  if (typeof kvm === "string") return kvm;
  const wrong = containers.find(({ iommu }) => pseries === (iommu === "type1"));
  if (wrong === undefined) return null;
  return pseries
    ? "machine pseries needs a host with an sPAPR TCE IOMMU, and this one has none"
    : "machine pc needs a host with a type1 IOMMU, and this one has sPAPR's";
}

/** As the kernel tests it: whole pages, what is charged already included, the limit itself allowed. */
function judge({ needBytes, worstBytes }: LockPrediction, limit: LockFacts, pageSize: number): Verdict {
  if (limit.ipcLock === true) return "fits";
  const allowed = Math.floor(limit.soft / pageSize) * pageSize;
  const locked = limit.locked ?? 0;
  if (needBytes > 0 && locked + needBytes > allowed) return "too-little";
  return worstBytes > needBytes && locked + worstBytes > allowed ? "fits-start" : "fits";
}

function remediesOf(
  verdict: Verdict,
  { needBytes, worstBytes }: LockPrediction,
  { soft, hard, locked }: LockFacts,
  containers: readonly ContainerFacts[],
): string[] {
  if (verdict === "fits" || verdict === "cannot-start") return [];
  const wanted = (locked ?? 0) + Math.max(needBytes, worstBytes);
  const kib = Math.ceil(wanted / 1024);
  const own = wanted <= hard && hard > soft;
  const raise = own
    ? `ulimit -l ${kib} (the hard limit allows it)`
    : `ulimit -l ${kib}, by root or before rights are dropped`;
  const remedies = [
    raise,
    `memlock ${kib} in limits.conf, or LimitMEMLOCK=${kib}K of the service`,
    "grant CAP_IPC_LOCK, with which the limit does not count",
  ];
  const asked = containers.filter(({ optional }) => !optional);
  if (asked.length > 1 && containers.every(({ iommu }) => iommu === "type1")) {
    remedies.push("leave container= out: functions in one container have RAM charged once");
  }
  if (verdict === "fits-start") remedies.push("-M pseries,ddw=off: the guest then opens no dynamic window");
  else remedies.push("give the guest less memory (-m)");
  return remedies;
}

function notesOf(
  { machine, runnable, devices }: DescribeRequest,
  containers: readonly ContainerFacts[],
  { ipcLock, locked }: LockFacts,
  kernelKnown: boolean,
  chargesTables: boolean,
): string[] {
  const notes = containers.flatMap(({ name, why, iommu }) =>
    why === null ? [] : [`container ${name} could not be asked, ${iommu} as usual is assumed: ${why}`],
  );
  if (!runnable) notes.push(describedOnly(machine));
  if (ipcLock === null)
    notes.push("whether this process has CAP_IPC_LOCK is not known; with it the limit does not count");
  if (locked === null) notes.push("what this process has locked already is not known; none is assumed");
  if (!kernelKnown) notes.push("the kernel's release is not known: sums are those of Linux 6.12");
  if (kernelKnown && !chargesTables) notes.push("the kernel is older than 4.7, for which KVM's tables may count less");
  if (devices.some((device) => device.driver === "vfio-pci" && device.iommufd !== undefined)) {
    notes.push(
      "an iommufd counts for the user, not for the process: what the user's other processes have so adds to it",
    );
  }
  if (containers.length > 0) {
    notes.push("memory that the process locks otherwise (mlock) counts against the same limit");
  }
  return notes;
}
