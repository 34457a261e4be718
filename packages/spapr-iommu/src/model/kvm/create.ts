// KVM_CREATE_SPAPR_TCE and KVM_CREATE_SPAPR_TCE_64: a table of a VM and its descriptor.
// Source: kvm_vm_ioctl_create_spapr_tce (arch/powerpc/kvm/book3s_64_vio.c), kvm_arch_vm_ioctl (powerpc.c).
// Invariants: what a table was charged with is given back exactly when its file goes, which is when neither a
// descriptor nor a mapping of it is left; until then the VM lives.
import { EBUSY, EFAULT, EINVAL, ENOMEM, type Mapping, MinivmmError, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { type FileOps, type IoctlCall, type MmapCall, mapDevice, OpenFile } from "@minivmm/host/model";
import type { Vm } from "@minivmm/kvm/model";
import { kvm_create_spapr_tce, kvm_create_spapr_tce_64 } from "../../uapi-kvm.ts";
import type { TceArena } from "../arena/index.ts";
import { GuestTable, type GuestTableShape, pagesOf } from "./guest-table.ts";
import type { KvmTceProfile } from "./profile.ts";
import type { VmTce } from "./vm-tce.ts";

const U64_MAX = (1n << 64n) - 1n;
/** sizeof(struct kvmppc_spapr_tce_table) without its array of pages. */
const HEADER_BYTES = 120;
/** The largest block that kmalloc gives, with 4 and with 64 KiB pages. */
const LARGEST_KMALLOC = 16 * 1024 * 1024;

/** Old struct: bytes of a window at 0 in 4 KiB pages. */
export function createSpaprTce(call: IoctlCall, tce: VmTce, profile: KvmTceProfile): number {
  const view = call.arg.view(kvm_create_spapr_tce.size, "r");
  if (!view) return -EFAULT;
  const { liobn, window_size: bytes } = kvm_create_spapr_tce.read(view, 0);
  return create(call, tce, profile, { liobn, pageShift: 12, offset: 0n, size: BigInt(bytes >>> 12) });
}

export function createSpaprTce64(call: IoctlCall, tce: VmTce, profile: KvmTceProfile): number {
  const view = call.arg.view(kvm_create_spapr_tce_64.size, "r");
  if (!view) return -EFAULT;
  const { liobn, page_shift: pageShift, flags, offset, size } = kvm_create_spapr_tce_64.read(view, 0);
  if (flags !== 0) return -EINVAL;
  return create(call, tce, profile, { liobn, pageShift, offset, size });
}

interface Request extends Omit<GuestTableShape, "entries"> {
  /** TCE pages. */
  readonly size: bigint;
}

function create(call: IoctlCall, tce: VmTce, profile: KvmTceProfile, request: Request): number {
  const { liobn, pageShift, offset } = request;
  if (request.size === 0n && profile.tce64) return -EINVAL;
  const taken = tce.tables.some((table) => table.shape.liobn === liobn);
  if (profile.duplicateFirst) {
    if (taken) return -EBUSY;
    // Shifting further than a number has bits means nothing.
    if (pageShift > 63) return -EINVAL;
  } else {
    if (pageShift < 12 || pageShift > 34) return -EINVAL;
    if (BigInt.asUintN(64, offset + request.size) > U64_MAX >> BigInt(pageShift)) return -EINVAL;
  }
  const { pageSize } = call.process;
  const perPage = pageSize / 8;
  const size = Number(request.size);
  const entries = profile.roundsUp ? Math.ceil(size / perPage) * perPage : size;
  const { mm } = tce.vm.process;
  const charge = profile.tce64 ? chargeOf(entries, pageSize) : 0;
  if (mm.account(charge) < 0) return -ENOMEM;
  const refuse = (errno: number): number => {
    mm.account(-charge);
    return -errno;
  };
  if (HEADER_BYTES + pagesOf(entries, pageSize) * 8 > LARGEST_KMALLOC) return refuse(ENOMEM);
  if (taken) return refuse(EBUSY);
  const table = GuestTable.create({ liobn, pageShift, offset, entries }, tce.arena, pageSize, profile.pagesAtOnce);
  if (table === null) return refuse(ENOMEM);
  tce.add(table);
  return call.process.install(new OpenFile(new TableFile(tce, table, charge), O_RDWR | O_CLOEXEC));
}

/** kvmppc_stt_pages: pages of entries, and of the table's own struct. */
function chargeOf(entries: number, pageSize: number): number {
  const pages = pagesOf(entries, pageSize);
  return pages + Math.ceil((HEADER_BYTES + pages * 8) / pageSize);
}

/** The descriptor of a table: it can be mapped, and nothing else. */
export class TableFile implements FileOps {
  readonly kind = "kvm-spapr-tce";
  readonly table: GuestTable;
  readonly #tce: VmTce;
  readonly #charge: number;
  readonly #arena: TceArena;
  readonly #vm: Vm;

  constructor(tce: VmTce, table: GuestTable, charge: number) {
    this.table = table;
    this.#tce = tce;
    this.#vm = tce.vm;
    this.#charge = charge;
    this.#arena = tce.arena;
    this.#vm.file.get();
  }

  /** Any range can be mapped; touching what lies behind the table is a bus error. */
  mmap(call: MmapCall): Mapping | number {
    const end = this.table.pageCount * call.process.pageSize;
    const at = (offset: number, make: boolean): number => {
      if (call.offset + offset >= end) throw busError(call.offset + offset, end);
      return this.table.wordAt(call.offset + offset, make);
    };
    return mapDevice(call, {
      load: (offset, width) => {
        const word = at(offset, false);
        if (word === 0) return 0;
        const value = this.#arena.words[word] as number;
        return width === 4 ? value : (value >>> ((offset % 4) * 8)) & (width === 2 ? 0xffff : 0xff);
      },
      store: (offset, width, value) => {
        const word = at(offset, true);
        if (word === 0) throw busError(call.offset + offset, end);
        const { words } = this.#arena;
        const shift = (offset % 4) * 8;
        const mask = width === 4 ? 0xffff_ffff : (width === 2 ? 0xffff : 0xff) << shift;
        words[word] = ((words[word] as number) & ~mask) | ((value << shift) & mask);
      },
    });
  }

  release(): void {
    this.#tce.remove(this.table);
    this.table.release();
    this.#vm.process.mm.account(-this.#charge);
    this.#vm.file.put();
  }
}

/** Touching what has no page: a process would get SIGBUS. */
function busError(offset: number, end: number): MinivmmError {
  return new MinivmmError(`byte ${offset} of a TCE table in KVM has no page behind it`, {
    code: "SIGBUS",
    errno: EFAULT,
    details: { offset, end },
    hint: `The table's pages end at byte ${end}.`,
  });
}
