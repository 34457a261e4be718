// The KVM calls of POWER recordings that need no running guest: the system, VMs, TCE tables, the VFIO device.
// A name that is a number is that descriptor; "null" is /dev/null.

import { MAP_PRIVATE, MAP_SHARED, O_RDWR, PROT_READ, PROT_WRITE } from "@minivmm/host";
import * as kvm from "@minivmm/kvm";
import { kvm_create_spapr_tce_64, kvmTceRequests } from "@minivmm/spapr-iommu";
import type { PpcStep } from "./format.ts";
import { type Answer, big, type Call, hex, type PpcScene } from "./scene.ts";

const ARCH = "ppc64le";
const requests = kvm.kvmRequests(ARCH);
const tceRequests = kvmTceRequests(ARCH);
const KVM_DEV_VFIO_GROUP = 1;
const GROUP_ATTRS = { ADD: 1n, DEL: 2n, SET_SPAPR_TCE: 3n };
const TABLE_PAGES = 16;
const TCE_BYTES = 8n;

/** Capability numbers by the names that recordings use. */
const CAPS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    Object.entries(kvm)
      .filter(([name, value]) => name.startsWith("KVM_CAP_") && typeof value === "number")
      .map(([name, value]) => [name.slice("KVM_CAP_".length), value as number]),
  ),
};

export const KVM_CALLS: Readonly<Record<string, Call>> = {
  KVM_CHECK_EXTENSION: (scene, { args }) => ({
    ret: scene.actor.host.ioctl(fdOf(scene, args.fd), requests.KVM_CHECK_EXTENSION, capOf(args.cap)),
  }),
  KVM_CREATE_VM: (scene, { args }) =>
    scene.named(args.as, scene.actor.host.ioctl(fdOf(scene, "kvm"), requests.KVM_CREATE_VM, Number(args.type ?? 0))),
  KVM_CREATE_DEVICE: (scene, { args }) => {
    const bytes = kvm.kvm_create_device.encode({ type: Number(args.type), fd: 0, flags: Number(args.flags) });
    const ret = scene.actor.host.ioctl(fdOf(scene, args.fd), requests.KVM_CREATE_DEVICE, bytes);
    const made = ret === 0 && (Number(args.flags) & kvm.KVM_CREATE_DEVICE_TEST) === 0;
    if (made) scene.named(args.as, kvm.kvm_create_device.decode(bytes).fd);
    return { ret };
  },
  KVM_HAS_DEVICE_ATTR: (scene, step) => attribute(scene, step, requests.KVM_HAS_DEVICE_ATTR),
  KVM_SET_DEVICE_ATTR: (scene, step) => attribute(scene, step, requests.KVM_SET_DEVICE_ATTR),
  KVM_GET_DEVICE_ATTR: (scene, step) => attribute(scene, step, requests.KVM_GET_DEVICE_ATTR),
  KVM_DEV_VFIO_GROUP_ADD: (scene, { args }) => setGroup(scene, args.fd, GROUP_ATTRS.ADD, [args.group], args.ptr),
  KVM_DEV_VFIO_GROUP_DEL: (scene, { args }) => setGroup(scene, args.fd, GROUP_ATTRS.DEL, [args.group], args.ptr),
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: (scene, { args }) =>
    setGroup(scene, args.fd, GROUP_ATTRS.SET_SPAPR_TCE, [args.groupfd, args.tablefd], args.ptr),
  KVM_CREATE_SPAPR_TCE_64: createTable,
  mmap_table: (scene, { out }) => mapTable(scene, out.ok, MAP_SHARED, 0),
  mmap_private: (scene, { out }) => mapTable(scene, out.ok, MAP_PRIVATE, 0),
  mmap_beyond: (scene, { out }) => mapTable(scene, out.ok, MAP_SHARED, BEYOND_PAGE),
  mem_read: touchTable,
  kvm_table: readTable,
  read: (scene, { args }) => ({ ret: scene.actor.host.read(fdOf(scene, args.fd), new Uint8Array(8)) }),
  write: (scene, { args }) => ({ ret: scene.actor.host.write(fdOf(scene, args.fd), new Uint8Array(8)) }),
  ioctl: (scene, { args }) => ({ ret: scene.actor.host.ioctl(fdOf(scene, args.fd), requests.KVM_GET_API_VERSION) }),
};

const BEYOND_PAGE = 8;

export function capOf(name: unknown): number {
  const cap = CAPS[String(name)];
  if (cap === undefined) throw new Error(`the recording names an unknown capability, ${name}`);
  return cap;
}

/** A descriptor by name; /dev/kvm and /dev/null are opened when they are first asked for. */
export function fdOf(scene: PpcScene, name: unknown): number {
  const text = String(name);
  if (/^-?\d+$/.test(text)) return Number(text);
  const path = { kvm: "/dev/kvm", null: "/dev/null" }[text];
  if (path !== undefined && !scene.fds.has(text)) scene.named(text, scene.actor.host.open(path, O_RDWR));
  return scene.fd(text);
}

function attribute(scene: PpcScene, { args }: PpcStep, request: number): Answer {
  const bytes = kvm.kvm_device_attr.encode({ flags: 0, group: Number(args.group), attr: big(args.attr), addr: 0n });
  return { ret: scene.actor.host.ioctl(fdOf(scene, args.fd ?? "kv"), request, bytes) };
}

/** SET_DEVICE_ATTR of the VFIO device with a pointer to descriptors, or to nothing. */
function setGroup(scene: PpcScene, device: unknown, attr: bigint, names: readonly unknown[], ptr: unknown): Answer {
  const { host } = scene.actor;
  const fds = new Int32Array(new SharedArrayBuffer(names.length * 4));
  fds.set(ptr === "NULL" ? [] : names.map((name) => fdOf(scene, name)));
  const addr = ptr === "NULL" ? 0n : host.addressOf(new Uint8Array(fds.buffer));
  const bytes = kvm.kvm_device_attr.encode({ flags: 0, group: KVM_DEV_VFIO_GROUP, attr, addr });
  return { ret: host.ioctl(fdOf(scene, device ?? "kv"), requests.KVM_SET_DEVICE_ATTR, bytes) };
}

function createTable(scene: PpcScene, { args }: PpcStep): Answer {
  const bytes = kvm_create_spapr_tce_64.encode({
    liobn: big(args.liobn),
    page_shift: Number(args.page_shift),
    flags: Number(args.flags) >>> 0,
    offset: big(args.offset_pages),
    size: big(args.size_pages),
  });
  const fd = scene.actor.host.ioctl(fdOf(scene, args.fd), tceRequests.KVM_CREATE_SPAPR_TCE_64, bytes);
  if (fd >= 0) scene.tables.add({ liobn: big(args.liobn), pageShift: Number(args.page_shift), fd });
  // A recorder that looked into the table had it mapped from the start, which keeps it alive.
  if (fd >= 0 && scene.readsTables) mapTable(scene, undefined, MAP_SHARED, 0);
  return scene.named(args.as, fd);
}

function mapTable(scene: PpcScene, recorded: unknown, flags: number, page: number): Answer {
  const { host } = scene.actor;
  const length = TABLE_PAGES * host.pageSize;
  const prot = PROT_READ | PROT_WRITE;
  const mapping = host.mmap({ fd: scene.tables.latestFd, length, prot, flags, offset: page * host.pageSize });
  const ok = typeof mapping === "number" ? 0 : 1;
  if (typeof mapping !== "number") scene.tableAddress = mapping.address - BigInt(page * host.pageSize);
  return { ret: 0, out: recorded === undefined ? {} : { ok } };
}

/** The recorder's own reads of the mapping, one word at the start of a page; where it had written, what it read is told. */
function touchTable(scene: PpcScene, { out }: PpcStep): Answer {
  const page = Number(/page ?(\d+)/.exec(String(out.what))?.[1] ?? 0);
  const address = scene.tableAddress + BigInt(page * scene.actor.host.pageSize);
  if (out.value !== undefined) scene.actor.touch({ address, width: 8, store: big(out.value) });
  const touched = scene.actor.touch({ address, width: 8 });
  return { ret: 0, out: "signal" in touched ? { signal: SIGNALS[touched.signal] } : { value: hex(touched.value) } };
}

const SIGNALS: Readonly<Record<number, string>> = { 7: "SIGBUS", 11: "SIGSEGV" };

/** An entry of the table as user space sees it: in the host's byte order. */
function readTable(scene: PpcScene, { out }: PpcStep): Answer {
  const { value } = {
    value: 0n,
    ...scene.actor.touch({ address: scene.tableAddress + big(out.index) * TCE_BYTES, width: 8 }),
  };
  return { ret: 0, out: { tce: hex(value) } };
}
