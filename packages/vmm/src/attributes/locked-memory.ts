// What a VM will have charged to its process as locked memory, step by step as the monitor goes: KVM's TCE tables, guest
// RAM, TCE tables of the hardware. The limit is tested at every step, so what counts is the highest point on the way.
// Source: account_locked_vm (mm/util.c); vfio_iommu_type1.c (vfio_pin_pages_remote: every page of every mapping);
// vfio_iommu_spapr_tce.c (tce_iommu_enable, tce_iommu_create_table), iommu_api.c (mm_iommu_do_alloc: a range is charged
// once a process), pci-ioda.c (pnv_pci_ioda2_get_table_size), book3s_64_vio.c (kvmppc_stt_pages).
// Invariants: sums are exact where every container was asked; `later` is what the guest's own acts may add, at most.
// VIO tables count as made before passed functions are taken, which is the higher point where the order is another.
import type { ContainerFacts, IommuKind } from "./containers.ts";
import { isAtLeast } from "./host-facts.ts";

export interface LockRequest {
  readonly memoryBytes: number;
  /** The host's page size: the unit of accounting. */
  readonly pageSize: number;
  readonly machine: "pseries" | "pc";
  /** The guest's default DMA window. */
  readonly dmaWindowBytes: number;
  readonly ddw: boolean;
  /** Null: the CPU is in software. */
  readonly kvm: { readonly tables: boolean; readonly links: boolean } | null;
  /** KVM may keep tables of windows with passed-through devices. */
  readonly vfioAccel: boolean;
  /** Bytes of the DMA windows of VIO devices, in the order of the devices. */
  readonly vioWindows: readonly number[];
  readonly containers: readonly ContainerFacts[];
  readonly kernel: readonly [number, number] | null;
}

export interface LockItem {
  readonly what: string;
  /** Negative: given back. */
  readonly bytes: number;
}

export interface LockPrediction {
  /** Charged before the guest's first instruction, in order. */
  readonly start: readonly LockItem[];
  /** What the guest's acts add, at most. */
  readonly later: readonly LockItem[];
  /** Highest point of `start`: what has to fit for the VM to start. */
  readonly needBytes: number;
  /** What stays charged once it has started. */
  readonly chargedBytes: number;
  /** chargedBytes with all of `later`. */
  readonly worstBytes: number;
}

const TCE_SHIFT = 12;
const STT_HEADER_BYTES = 120;
/** Largest page of a dynamic window that the machine offers. */
const DDW_SHIFT = 24;
const MAX_LEVELS = 5;

/** Pages of host memory, as one number of bytes for each thing that is charged. */
export function predictLockedMemory(request: LockRequest): LockPrediction {
  const start = request.machine === "pseries" ? pseriesSteps(request) : type1Steps(request);
  const later = request.machine === "pseries" ? pseriesLater(request) : [];
  let now = 0;
  let peak = 0;
  for (const { bytes } of start) {
    now += bytes;
    peak = Math.max(peak, now);
  }
  const worstBytes = later.reduce((sum, { bytes }) => sum + bytes, now);
  return { start, later, needBytes: peak, chargedBytes: now, worstBytes };
}

function type1Steps({ containers, memoryBytes, pageSize }: LockRequest): LockItem[] {
  const bytes = roundUp(memoryBytes, pageSize);
  return containers.map(({ name }) => ({ what: `guest RAM, mapped in container ${name}`, bytes }));
}

function pseriesSteps(request: LockRequest): LockItem[] {
  const { containers, dmaWindowBytes, kvm, memoryBytes, pageSize, vioWindows } = request;
  const steps: LockItem[] = [];
  const guestTable = kvm?.tables ? kvmTceTableBytes(dmaWindowBytes / 2 ** TCE_SHIFT, pageSize) : 0;
  if (kvm?.tables) {
    steps.push({ what: "KVM's table of the default DMA window", bytes: guestTable });
    vioWindows.forEach((bytes, index) => {
      const table = kvmTceTableBytes(bytes / 2 ** TCE_SHIFT, pageSize);
      steps.push({ what: `KVM's table of VIO device ${index}'s window`, bytes: table });
    });
  }
  let inKernel = guestTable > 0;
  let registered = false;
  for (const container of containers) {
    const { iommu, name, spapr } = container;
    if (iommu === "type1") {
      steps.push({ what: `guest RAM, mapped in container ${name}`, bytes: roundUp(memoryBytes, pageSize) });
      continue;
    }
    if (iommu === "spapr-v1") {
      steps.push({
        what: `the default window of container ${name}, as ENABLE charges it`,
        bytes: spapr?.windowBytes ?? 0,
      });
    } else if (!registered) {
      steps.push({ what: "guest RAM, registered once a process", bytes: roundUp(memoryBytes, pageSize) });
      registered = true;
    }
    const made =
      iommu === "spapr-v2"
        ? {
            what: `hardware TCE table of container ${name}`,
            bytes: windowBytes(request, container, TCE_SHIFT, dmaWindowBytes),
          }
        : undefined;
    // A table that may not be KVM's at all leaves before the window is made; one of version 1 after.
    const leaves = inKernel && (!request.vfioAccel || !kvm?.links || iommu === "spapr-v1");
    if (leaves) steps.push({ what: "KVM's table of the default DMA window is given back", bytes: -guestTable });
    if (leaves) inKernel = false;
    if (made !== undefined) steps.push(made);
  }
  return steps;
}

function pseriesLater(request: LockRequest): LockItem[] {
  const { containers, ddw, kernel, kvm, memoryBytes, pageSize } = request;
  const later: LockItem[] = [];
  const cover = 2 ** Math.max(DDW_SHIFT, Math.ceil(Math.log2(memoryBytes)));
  const eager = isAtLeast(kernel, 4, 19);
  let dynamic = false;
  for (const container of containers) {
    const { iommu, name, spapr } = container;
    if (iommu === "spapr-v1" && spapr !== null && isAtLeast(kernel, 6, 4)) {
      const bytes = chargedTable(request, container, TCE_SHIFT, spapr.windowBytes, 1);
      later.push({ what: `hardware TCE table of container ${name}, at the first mapping`, bytes });
    }
    if (iommu !== "spapr-v2") continue;
    if (!eager)
      later.push({ what: `user view of container ${name}'s TCE table`, bytes: viewBytes(request, container) });
    if (!ddw) continue;
    const bytes = windowBytes(request, container, DDW_SHIFT, cover);
    later.push({ what: `hardware TCE table of container ${name}'s dynamic window, if the guest opens one`, bytes });
    dynamic = true;
  }
  if (dynamic && kvm?.tables && kvm.links && request.vfioAccel) {
    const bytes = kvmTceTableBytes(cover / 2 ** DDW_SHIFT, pageSize);
    later.push({ what: "KVM's table of that window", bytes });
  }
  return later;
}

/** What a window charges; 0 where the host has no page size for it (the VM then says so at the start). */
function windowBytes(request: LockRequest, container: ContainerFacts, guestShift: number, bytes: number): number {
  const shift = hostPageShift(container.spapr?.pgsizes ?? 0n, guestShift, request.pageSize);
  if (shift < 0) return 0;
  const entriesLog = Math.log2(bytes) - shift;
  const levels = Math.max(1, Math.ceil(entriesLog / (Math.log2(request.pageSize) + 8)));
  return chargedTable(request, container, shift, bytes, levels);
}

/** Bare metal (several levels) keeps a second copy for user space, which counts with it from 4.19 on. */
function chargedTable(
  { kernel, pageSize }: LockRequest,
  { spapr }: ContainerFacts,
  shift: number,
  bytes: number,
  levels: number,
): number {
  const bare = (spapr?.levels ?? 1) > 1;
  const one = bare ? tceTableBytes(shift, bytes, levels, pageSize) : (bytes / 2 ** shift) * 8;
  return Math.floor((one * (bare && isAtLeast(kernel, 4, 19) ? 2 : 1)) / pageSize) * pageSize;
}

function viewBytes(request: LockRequest, container: ContainerFacts): number {
  const shift = hostPageShift(container.spapr?.pgsizes ?? 0n, TCE_SHIFT, request.pageSize);
  return shift < 0 ? 0 : roundUp((request.dmaWindowBytes / 2 ** shift) * 8, request.pageSize);
}

/** The monitor's choice: the largest page of the host's that is not above the guest's, nor above the host's base page. */
function hostPageShift(pgsizes: bigint, guestShift: number, pageSize: number): number {
  for (let shift = Math.min(guestShift, Math.log2(pageSize)); shift >= TCE_SHIFT; shift--) {
    if (((pgsizes >> BigInt(shift)) & 1n) === 1n) return shift;
  }
  return -1;
}

/**
 * Bytes of one copy of a bare-metal TCE table with all its levels full; 0 for a window that cannot be: `windowBytes` is a
 * power of two of at least one page of 2^pageShift, `levels` 1 to 5.
 */
export function tceTableBytes(pageShift: number, windowBytes: number, levels: number, hostPageSize: number): number {
  const entriesLog = Math.log2(windowBytes) - pageShift;
  if (!Number.isInteger(entriesLog) || entriesLog < 0 || levels < 1 || levels > MAX_LEVELS) return 0;
  const level = Math.max(2 ** (Math.ceil(entriesLog / levels) + 3), hostPageSize);
  let lowest = Math.max(4096, 8 * 2 ** entriesLog);
  let sum = 0;
  for (let i = 0; i < levels; i++) {
    sum += roundUp(lowest, level);
    lowest = Math.max((lowest / level) * 8, level);
  }
  return sum;
}

/** Bytes that KVM charges for a table of `entries`: the pages of entries, and those of the struct that points to them. */
export function kvmTceTableBytes(entries: number, pageSize: number): number {
  const pages = Math.ceil((entries * 8) / pageSize);
  return roundUp(pages * pageSize, pageSize) + roundUp(STT_HEADER_BYTES + pages * 8, pageSize);
}

/** Who pins guest RAM, in words. */
export function pinnedBy(iommu: IommuKind): string {
  if (iommu === "type1") return "the IOMMU container: every page, when RAM is mapped";
  if (iommu === "spapr-v2") return "the IOMMU container: every page, when RAM is registered";
  return "the IOMMU container: page by page, as the guest maps it for DMA";
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
