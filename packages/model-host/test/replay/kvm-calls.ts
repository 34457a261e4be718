// KVM in recordings: VMs, TCE tables, the KVM-VFIO device, and hypercalls. What a recorded guest did in its registers is
// handed to the modelled VM directly; a call that the kernel left to user space shows as H_TOO_HARD.
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_RDWR, PROT_READ, PROT_WRITE } from "@minivmm/host";
import * as kvm from "@minivmm/kvm";
import { H_TOO_HARD, ModelVm } from "@minivmm/kvm/model";
import * as vfio from "@minivmm/kvm-device";
import { kvm_create_spapr_tce_64, kvmTceRequests } from "@minivmm/spapr-iommu";
import type { Answer, Handler } from "./calls.ts";
import { big, type Step } from "./recording.ts";
import type { Rig } from "./rig.ts";

const READ_WRITE = PROT_READ | PROT_WRITE;
/** User address of guest address 0. */
const GUEST_MEMORY = 0x2_8000_0000n;
const MASK = (1n << 64n) - 1n;
const requests = kvm.kvmRequests("ppc64le");
const tceRequests = kvmTceRequests("ppc64le");

const marker: Handler = () => ({ ret: 0 });
/**
 * Steps whose answer is taken as it was recorded, because they belong to the guest's processor, which is not here:
 *
 * | step | why nothing is lost |
 * | --- | --- |
 * | KVM_CREATE_VCPU, KVM_SET_REGS, PPC_PAPR | they prepare the guest that makes the hypercalls, which are made directly |
 * | KVM_CHECK_EXTENSION of PPC_PAPR, PPC_MMU_*, PPC_NESTED_HV | they tell what that processor can do |
 */
const ofProcessor: Handler = (_rig, step) => ({ ret: step.ret < 0 ? -step.errno : step.ret });

function opened(rig: Rig, step: Step, fd: number): Answer {
  if (fd >= 0 && step.args.as !== undefined) rig.fds.set(String(step.args.as), fd);
  return { ret: fd, isFd: true };
}

function nodeFd(rig: Rig, step: Step, path: string): number {
  const known = rig.fds.get(path);
  if (known !== undefined) return known;
  const fd = rig.process(step).open(path, O_RDWR);
  rig.fds.set(path, fd);
  return fd;
}

/** A descriptor as attributes name it: "g0", "null" or "0" (a file that is none of VFIO's), "-1". */
function named(rig: Rig, step: Step, name: string | number | undefined): number {
  if (name === "-1") return -1;
  return name === "null" || name === "0" ? nodeFd(rig, step, "/dev/null") : rig.fd(step, name);
}

function vmIoctl(rig: Rig, step: Step, request: number, arg: number | Uint8Array): number {
  return rig.process(step).ioctl(rig.fd(step, step.args.fd ?? "vm0"), request, arg);
}

function attribute(rig: Rig, step: Step, request: number, attr: number, data: Uint8Array | null, group = 1): Answer {
  const process = rig.process(step);
  const addr = data ? process.addressOf(data) : 0n;
  const bytes = kvm.kvm_device_attr.encode({ group, attr: BigInt(attr), addr });
  return { ret: process.ioctl(rig.fd(step, step.args.fd ?? "kv"), request, bytes) };
}

function groupAttribute(attr: number): Handler {
  return (rig, step) => {
    const { ptr, group } = step.args;
    const data = ptr === "NULL" ? null : vfio.kvm_vfio_file.encode({ fd: named(rig, step, group) });
    return attribute(rig, step, requests.KVM_SET_DEVICE_ATTR, attr, data);
  };
}

/** Any attribute call that names group and attribute by number. */
function anyAttribute(request: number): Handler {
  return (rig, step) =>
    attribute(rig, step, request, Number(step.args.attr), new Uint8Array(8), Number(step.args.group));
}

/** Lists that the recorder changed without saying so, by what it said of the outcome. */
const LISTS: Readonly<Record<string, readonly bigint[]>> = {
  "good entry, then RW entry outside memslots": [0x41003n, 0x70000003n],
  "good entry, then misaligned RW entry": [0x41003n, 0x40803n],
  "good entry, then no-perm misaligned entry": [0x41003n, 0x40800n],
};

const indirect: Handler = (rig, step, next) => {
  const list = LISTS[String(next?.out.what)];
  if (list) writeList(rig, step, GUEST_MEMORY + big(step.args.r6), list);
  return hypercall(rig, step, next);
};

function writeList(rig: Rig, step: Step, address: bigint, list: readonly bigint[]): void {
  const bytes = new DataView(new ArrayBuffer(list.length * 8));
  for (const [i, entry] of list.entries()) bytes.setBigUint64(i * 8, entry & MASK, false);
  rig.process(step).mm.write(address, new Uint8Array(bytes.buffer));
}

const hypercall: Handler = (rig, step) => {
  const { args } = step;
  const ops = rig.process(step).fileOf(rig.fd(step, "vm0"))?.ops;
  if (!(ops instanceof ModelVm)) throw new Error("no VM makes this hypercall");
  const given = ["r4", "r5", "r6", "r7"].map((name) => big(args[name]));
  const { result, values } = ops.hypercall(Number(args.nr), ...given);
  const [, ioba, tce] = given as [bigint, bigint, bigint];
  if (step.call === "H_PUT_TCE" && result === 0 && (tce & 3n) !== 0n) {
    rig.mappings.push({ iova: ioba, size: 0x1000n, vaddr: GUEST_MEMORY + (tce & ~0xfffn) });
  }
  const exits = result === H_TOO_HARD ? 1 : 0;
  return { ret: 0, out: { exits, r4: hex(values[0] ?? 0n), ...(exits === 0 ? { r3: result } : {}) } };
};

/** The recorder maps a table when it first looks, and keeps that mapping. */
function tableMapping(rig: Rig, step: Step) {
  const fd = rig.fd(step, "t0");
  rig.table ??= rig.process(step).mmap({ fd, length: 0x40_0000, prot: READ_WRITE, flags: MAP_SHARED });
  if (typeof rig.table === "number") throw new Error("the table cannot be mapped");
  return rig.table;
}

function wordsAt(rig: Rig, step: Step, offset: number): bigint {
  const table = tableMapping(rig, step);
  return (BigInt(table.load(offset + 4, 4)) << 32n) | BigInt(table.load(offset, 4));
}

function mapped(rig: Rig, step: Step, flags: number, page: number): Answer {
  const request = {
    fd: rig.fd(step, "t0"),
    length: rig.pageSize,
    prot: READ_WRITE,
    flags,
    offset: page * rig.pageSize,
  };
  return { ret: 0, out: { ok: typeof rig.process(step).mmap(request) === "number" ? 0 : 1 } };
}

/** Where `mem_read` of the mapping case looks, by its own words. */
const PLACES: Readonly<Record<string, (pageSize: number) => number>> = {
  page0: () => 0,
  page1: (pageSize) => pageSize,
  "page2 (beyond table)": (pageSize) => 2 * pageSize,
  "page0 after user write": () => 0,
  "second mapping of page0": () => 0,
  "mapping at page8": (pageSize) => 8 * pageSize,
  "page0 after closing the fd": () => 0,
};

const hex = (value: bigint): string => `0x${(value & MASK).toString(16)}`;

export const KVM_HANDLERS: Readonly<Record<string, Handler>> = {
  KVM_CHECK_EXTENSION: (rig, step) => {
    const fd = step.args.fd === "kvm" ? nodeFd(rig, step, "/dev/kvm") : rig.fd(step, step.args.fd);
    const id = (kvm as unknown as Record<string, number>)[`KVM_CAP_${step.args.cap}`];
    if (id === undefined || /^PPC_(PAPR|MMU|NESTED)/.test(String(step.args.cap)))
      return ofProcessor(rig, step, undefined);
    return { ret: rig.process(step).ioctl(fd, requests.KVM_CHECK_EXTENSION, id) };
  },
  KVM_CREATE_VM: (rig, step) => {
    const kvmFd = nodeFd(rig, step, "/dev/kvm");
    return opened(rig, step, rig.process(step).ioctl(kvmFd, requests.KVM_CREATE_VM, Number(step.args.type ?? 0)));
  },
  KVM_CREATE_SPAPR_TCE_64: (rig, step) => {
    const { liobn, page_shift, flags, offset_pages, size_pages } = step.args;
    const bytes = kvm_create_spapr_tce_64.encode({
      liobn: big(liobn),
      page_shift: Number(page_shift),
      flags: Number(flags),
      offset: big(offset_pages),
      size: big(size_pages),
    });
    return opened(rig, step, vmIoctl(rig, step, tceRequests.KVM_CREATE_SPAPR_TCE_64, bytes));
  },
  KVM_CREATE_DEVICE: (rig, step) => {
    const bytes = kvm.kvm_create_device.encode({ type: Number(step.args.type), flags: Number(step.args.flags) });
    const ret = vmIoctl(rig, step, requests.KVM_CREATE_DEVICE, bytes);
    if (ret === 0 && step.args.flags === 0) rig.fds.set(String(step.args.as), kvm.kvm_create_device.decode(bytes).fd);
    return { ret };
  },
  KVM_HAS_DEVICE_ATTR: anyAttribute(requests.KVM_HAS_DEVICE_ATTR),
  KVM_SET_DEVICE_ATTR: anyAttribute(requests.KVM_SET_DEVICE_ATTR),
  KVM_GET_DEVICE_ATTR: anyAttribute(requests.KVM_GET_DEVICE_ATTR),
  KVM_DEV_VFIO_GROUP_ADD: groupAttribute(vfio.KVM_DEV_VFIO_GROUP_ADD),
  KVM_DEV_VFIO_GROUP_DEL: groupAttribute(vfio.KVM_DEV_VFIO_GROUP_DEL),
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: (rig, step) => {
    const { ptr, groupfd, tablefd } = step.args;
    const value = { groupfd: named(rig, step, groupfd), tablefd: named(rig, step, tablefd) };
    const data = ptr === "NULL" ? null : vfio.kvm_vfio_spapr_tce.encode(value);
    return attribute(rig, step, requests.KVM_SET_DEVICE_ATTR, vfio.KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, data);
  },
  KVM_ENABLE_CAP: (rig, step) => {
    const { cap, nr, on } = step.args;
    if (cap !== "PPC_ENABLE_HCALL") return ofProcessor(rig, step, undefined);
    const bytes = kvm.kvm_enable_cap.encode({ cap: kvm.KVM_CAP_PPC_ENABLE_HCALL, args: [big(nr), big(on)] });
    return { ret: vmIoctl(rig, step, requests.KVM_ENABLE_CAP, bytes) };
  },
  KVM_SET_USER_MEMORY_REGION: (rig, step) => {
    const { gpa, size, ua } = step.args;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    rig.process(step).mmap({ address: big(ua), length: Number(size), prot: READ_WRITE, flags });
    const bytes = kvm.kvm_userspace_memory_region.encode({
      guest_phys_addr: big(gpa),
      memory_size: big(size),
      userspace_addr: big(ua),
    });
    return { ret: vmIoctl(rig, step, requests.KVM_SET_USER_MEMORY_REGION, bytes) };
  },
  KVM_CREATE_VCPU: ofProcessor,
  KVM_SET_REGS: ofProcessor,
  H_PUT_TCE: hypercall,
  H_GET_TCE: hypercall,
  H_PUT_TCE_INDIRECT: indirect,
  H_STUFF_TCE: hypercall,
  H_UNKNOWN: hypercall,
  fill_tce_list: (rig, step) => {
    const { gpa, n, first, inc } = step.out;
    const list = Array.from({ length: Number(n) }, (_, i) => big(first) + BigInt(i) * big(inc));
    writeList(rig, step, GUEST_MEMORY + big(gpa), list);
    rig.lastList = GUEST_MEMORY + big(gpa);
    return { ret: 0 };
  },
  list_entry: (rig, step) => {
    const bytes = new Uint8Array(8);
    rig.process(step).mm.read(rig.lastList + big(step.out.i) * 8n, bytes);
    return { ret: 0, out: { tce: hex(new DataView(bytes.buffer).getBigUint64(0, false)) } };
  },
  kvm_table: (rig, step) => ({ ret: 0, out: { tce: hex(wordsAt(rig, step, Number(step.out.index) * 8)) } }),
  mmap_table: (rig, step) => ({ ret: 0, out: { ok: tableMapping(rig, step).length > 0 ? 1 : 0 } }),
  mmap_private: (rig, step) => mapped(rig, step, MAP_PRIVATE, 0),
  mmap_beyond: (rig, step) => mapped(rig, step, MAP_SHARED, 8),
  mem_read: (rig, step) => {
    const what = String(step.out.what);
    const place = PLACES[what]?.(rig.pageSize);
    if (place === undefined) throw new Error(`unknown place "${what}"`);
    if (what.endsWith("user write")) tableMapping(rig, step).store(place, 4, 0x1234);
    try {
      return { ret: 0, out: { value: hex(wordsAt(rig, step, place)) } };
    } catch (error) {
      return { ret: 0, out: { signal: (error as { code?: string }).code ?? "none" } };
    }
  },
  read: (rig, step) => ({ ret: rig.process(step).read(rig.fd(step, step.args.fd), new Uint8Array(8)) }),
  write: (rig, step) => ({ ret: rig.process(step).write(rig.fd(step, step.args.fd), new Uint8Array(8)) }),
  ioctl: (rig, step) => ({ ret: rig.process(step).ioctl(rig.fd(step, step.args.fd), 0) }),
  closed_group_fd_while_kvm_holds: marker,
  closed_kvm_vfio_dev: marker,
  closed_table_first: marker,
  group_fd_closed_kvm_still_holds: marker,
};
