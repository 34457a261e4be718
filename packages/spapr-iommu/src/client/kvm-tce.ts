// A TCE table in KVM: the guest's view of one DMA window, which the kernel fills when the guest makes hypercalls, without
// telling user space. Made on a VM's descriptor, looked into through a mapping, linked to VFIO groups by the KVM-VFIO
// device. Works on any Host. Source: Documentation/virt/kvm/api.rst (KVM_CREATE_SPAPR_TCE_64).
// Invariants: entries are the guest's words, in host byte order; the table lives until its descriptor and its mapping
// are closed. Linking copies nothing: what the guest wrote before is replayed by user space.
import {
  EBUSY,
  EINVAL,
  EIO,
  EMFILE,
  ENOMEM,
  ENOTTY,
  errnoName,
  MAP_SHARED,
  type Mapping,
  PROT_READ,
  PROT_WRITE,
} from "@minivmm/host";
import { KVM_CAP_SPAPR_TCE, KVM_CAP_SPAPR_TCE_64, KVM_CAP_SPAPR_TCE_VFIO, type KvmVm } from "@minivmm/kvm";
import { SpaprError } from "../error.ts";
import { kvm_create_spapr_tce, kvm_create_spapr_tce_64, kvmTceRequests } from "../uapi-kvm.ts";
import { tooLittleMemlock } from "./refusals.ts";

export interface KvmTceWindow {
  /** The number by which the guest names the window: 64 bits, unique in the VM. */
  liobn: bigint | number;
  /** Bytes, a multiple of the page size. */
  size: bigint;
  /** log2 of the TCE page size, 12 to 34. Default 12. */
  pageShift?: number;
  /** Bus address of the first byte, a multiple of the page size. Default 0. */
  busAddress?: bigint;
}

/** What links tables to groups: KvmVfioDevice of @minivmm/kvm-device. */
export interface TceTableLinker {
  setSpaprTce(groupFd: number, tableFd: number): void;
}

const PLAIN_SHIFT = 12;
const LARGEST_PLAIN = 0xffff_ffffn;

const REASONS: Readonly<Record<number, { code: string; why: string; hint: string }>> = {
  [EBUSY]: {
    code: "LIOBN_TAKEN",
    why: "the VM has a table with this LIOBN",
    hint: "Close that table (its mappings too), or number windows differently.",
  },
  [EINVAL]: {
    code: "TABLE_REFUSED",
    why: "its page size is not within 4 KiB and 16 GiB, it is empty, or it ends behind the last bus address",
    hint: "A window is a whole number of pages from a page boundary on.",
  },
  [EIO]: {
    code: "OTHER_PROCESS",
    why: "the VM belongs to another process",
    hint: "Use a VM in the process that created it.",
  },
  [EMFILE]: { code: "REFUSED", why: "the process has too many open files", hint: "Raise the limit (ulimit -n)." },
  [ENOTTY]: {
    code: "NO_KVM_TCE",
    why: "this KVM has no TCE tables",
    hint: "They exist on POWER only; without them every hypercall on a TCE comes to user space.",
  },
};

export class KvmSpaprTce implements Disposable {
  readonly vm: KvmVm;
  readonly fd: number;
  readonly window: Required<KvmTceWindow>;
  /** TCEs of the table. */
  readonly entries: number;
  #mapping: Mapping | null = null;

  private constructor(vm: KvmVm, fd: number, window: Required<KvmTceWindow>) {
    this.vm = vm;
    this.fd = fd;
    this.window = window;
    this.entries = Number(window.size >> BigInt(window.pageShift));
  }

  /** Whether a window may be in KVM: for emulated devices with tables at all, for VFIO only if they can be linked. */
  static isAvailable(vm: KvmVm, use: "emulated" | "vfio"): boolean {
    return vm.checkExtension(use === "vfio" ? KVM_CAP_SPAPR_TCE_VFIO : KVM_CAP_SPAPR_TCE) > 0;
  }

  /** Throws SpaprError LIOBN_TAKEN, TABLE_REFUSED, MEMLOCK, NO_KVM_TCE, OTHER_PROCESS. */
  static create(vm: KvmVm, window: KvmTceWindow): KvmSpaprTce {
    const { liobn, size, pageShift = PLAIN_SHIFT, busAddress = 0n } = window;
    const whole: Required<KvmTceWindow> = { liobn: BigInt(liobn), size, pageShift, busAddress };
    const mask = (1n << BigInt(pageShift)) - 1n;
    if (((size | busAddress) & mask) !== 0n) throw refusedTable(vm, whole, -EINVAL);
    const { request, bytes } = creation(vm, whole);
    const fd = vm.host.ioctl(vm.fd, request, bytes);
    if (fd < 0) throw refusedTable(vm, whole, fd);
    return new KvmSpaprTce(vm, fd, whole);
  }

  /** The table in memory, readable and writable, mapped on first use. Throws SpaprError REFUSED. */
  map(): Mapping {
    if (this.#mapping) return this.#mapping;
    const { host } = this.vm;
    const length = Math.ceil((this.entries * 8) / host.pageSize) * host.pageSize;
    const mapping = host.mmap({ fd: this.fd, length, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED });
    if (typeof mapping === "number") {
      throw new SpaprError(`the TCE table of LIOBN ${hex(this.window.liobn)} cannot be mapped: ${errnoName(mapping)}`, {
        code: "REFUSED",
        errno: -mapping,
        details: { fd: this.fd, length },
        hint: "The process may be out of address space.",
      });
    }
    this.#mapping = mapping;
    return mapping;
  }

  /** What the guest wrote for a page of the window: guest address and TCE_PCI_* bits, 0 for nothing. Throws NO_WINDOW. */
  entry(index: number): bigint {
    if (!(Number.isInteger(index) && index >= 0 && index < this.entries)) {
      throw new SpaprError(`the TCE table has ${this.entries} entries, and no entry ${index}`, {
        code: "NO_WINDOW",
        details: { index, entries: this.entries },
        hint: "Entries are counted from the window's start.",
      });
    }
    const mapping = this.map();
    return (BigInt(mapping.load(index * 8 + 4, 4)) << 32n) | BigInt(mapping.load(index * 8, 4));
  }

  /**
   * Has KVM write what the guest writes into a group's hardware table too. The group's container is version 2 and has
   * a window with the same start, at least this size, and pages not larger. Throws what the device throws.
   */
  attachGroup(device: TceTableLinker, groupFd: number): void {
    device.setSpaprTce(groupFd, this.fd);
  }

  close(): void {
    this.#mapping?.close();
    this.#mapping = null;
    this.vm.host.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The request that can say it: the old one knows only 4 KiB pages from bus address 0 on. */
function creation(vm: KvmVm, window: Required<KvmTceWindow>): { request: number; bytes: Uint8Array } {
  const { size, pageShift, busAddress } = window;
  const liobn = BigInt(window.liobn);
  const requests = kvmTceRequests(vm.host.arch);
  const plain = pageShift === PLAIN_SHIFT && busAddress === 0n && size <= LARGEST_PLAIN;
  if (plain && vm.checkExtension(KVM_CAP_SPAPR_TCE_64) === 0) {
    const bytes = kvm_create_spapr_tce.encode({ liobn, window_size: Number(size) });
    return { request: requests.KVM_CREATE_SPAPR_TCE, bytes };
  }
  const pages = BigInt(pageShift);
  const bytes = kvm_create_spapr_tce_64.encode({
    liobn,
    page_shift: pageShift,
    offset: busAddress >> pages,
    size: size >> pages,
  });
  return { request: requests.KVM_CREATE_SPAPR_TCE_64, bytes };
}

function refusedTable(vm: KvmVm, window: Required<KvmTceWindow>, result: number): SpaprError {
  const { liobn, size, busAddress, pageShift } = window;
  const what = `a TCE table for LIOBN ${hex(liobn)} (${size} bytes at ${hex(busAddress)}) cannot be made in KVM`;
  const errno = -result;
  const bytes = Number(size >> BigInt(pageShift)) * 8;
  if (errno === ENOMEM) return tooLittleMemlock(vm.host, what, { liobn, size: bytes }, true);
  const reason = REASONS[errno];
  return new SpaprError(`${what}: ${reason?.why ?? "the kernel refused"} (${errnoName(errno)})`, {
    code: reason?.code ?? "REFUSED",
    errno,
    details: { ...window },
    hint: reason?.hint,
  });
}

function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}
