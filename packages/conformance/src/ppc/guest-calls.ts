// The calls of POWER recordings that have to do with a guest: its memory, its vCPU, and the hypercalls that it makes.

import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@minivmm/host";
import * as kvm from "@minivmm/kvm";
import type { PpcStep } from "./format.ts";
import { Guest } from "./guest.ts";
import { capOf, fdOf } from "./kvm-calls.ts";
import { type Answer, big, type Call, hex, type PpcScene } from "./scene.ts";

const requests = kvm.kvmRequests("ppc64le");
const MSR_BITS: Readonly<Record<string, bigint>> = { SF: 1n << 63n, ME: 0x1000n, LE: 1n, IR: 0x20n, DR: 0x10n };
const TCE_PERMISSIONS = 3n;
const ARGUMENTS = ["r4", "r5", "r6", "r7"];

export const GUEST_CALLS: Readonly<Record<string, Call>> = {
  KVM_SET_USER_MEMORY_REGION: setMemory,
  KVM_CREATE_VCPU: (scene) => {
    const guest = Guest.create(scene.actor, fdOf(scene, "kvm"), scene.fd("vm0"));
    if (typeof guest === "number") return { ret: guest, isFd: true };
    scene.guest = guest;
    return { ret: guest.fd, isFd: true };
  },
  KVM_ENABLE_CAP: (scene, { args }) => {
    // PPC_PAPR is the vCPU's, the rest the VM's.
    const fd = args.cap === "PPC_PAPR" ? (scene.guest?.fd ?? -1) : scene.fd("vm0");
    const values = [big(args.nr), big(args.on), 0n, 0n];
    const bytes = kvm.kvm_enable_cap.encode({ cap: capOf(args.cap), flags: 0, args: values });
    return { ret: scene.actor.host.ioctl(fd, requests.KVM_ENABLE_CAP, bytes) };
  },
  KVM_SET_REGS: (scene, { args }) => {
    const msr = String(args.msr)
      .split("|")
      .reduce((bits, name) => bits | (MSR_BITS[name] ?? 0n), 0n);
    const place = (gpa: bigint, code: Uint8Array): void => {
      scene.actor.writeMemory(scene.guestMemory + gpa, code);
    };
    return { ret: scene.guest?.place(big(args.pc), msr, place) ?? -1 };
  },
  fill_tce_list: (scene, { out }) => {
    scene.list = big(out.gpa);
    const entries = Array.from({ length: Number(out.n) }, (_, i) => big(out.first) + BigInt(i) * big(out.inc));
    return { ret: writeList(scene, scene.list, entries) };
  },
  list_entry: (scene, { out }) => ({
    ret: 0,
    out: { tce: hex(listAt(scene, scene.list, Number(out.i) + 1).at(-1) ?? 0n) },
  }),
  H_PUT_TCE_INDIRECT: (scene, step, next) => {
    const list = UNTOLD_LISTS[String(next?.out.what)];
    if (list) writeList(scene, big(step.args.r6), list);
    return hypercall(scene, step);
  },
  ...Object.fromEntries(["H_PUT_TCE", "H_GET_TCE", "H_STUFF_TCE", "H_UNKNOWN"].map((name) => [name, hypercall])),
};

/** Lists that the recorder changed without a step of its own, by what it says of the outcome in the next step. */
const UNTOLD_LISTS: Readonly<Record<string, readonly bigint[]>> = {
  "good entry, then RW entry outside memslots": [0x41003n, 0x7000_0003n],
  "good entry, then misaligned RW entry": [0x41003n, 0x40803n],
  "good entry, then no-perm misaligned entry": [0x41003n, 0x40800n],
};

function writeList(scene: PpcScene, gpa: bigint, entries: readonly bigint[]): number {
  const list = new DataView(new ArrayBuffer(entries.length * 8));
  for (const [i, entry] of entries.entries()) list.setBigUint64(i * 8, entry);
  return scene.actor.writeMemory(scene.guestMemory + gpa, new Uint8Array(list.buffer));
}

/** Fresh memory at the recorder's address becomes the guest's. */
function setMemory(scene: PpcScene, { args }: PpcStep): Answer {
  const { host } = scene.actor;
  const address = big(args.ua);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  host.mmap({ address, length: Number(args.size), prot: PROT_READ | PROT_WRITE, flags });
  scene.guestMemory = address;
  const region = kvm.kvm_userspace_memory_region.encode({
    slot: 0,
    flags: 0,
    guest_phys_addr: big(args.gpa),
    memory_size: big(args.size),
    userspace_addr: address,
  });
  return { ret: host.ioctl(scene.fd("vm0"), requests.KVM_SET_USER_MEMORY_REGION, region) };
}

function hypercall(scene: PpcScene, { args, out }: PpcStep): Answer {
  if (!scene.guest) return { ret: -1 };
  const values = ARGUMENTS.map((name) => big(args[name]));
  const { r3, r4, exits } = scene.guest.hypercall(big(args.nr), values, big(out.r3));
  if (r3 === 0n) remember(scene, big(args.nr), values);
  const userspace_exits = exits.map(({ reason, nr, args }) => ({ reason, nr, args }));
  return { ret: 0, out: { r3, r4: hex(r4), userspace_exits } };
}

/** What the guest has mapped, so that a transfer's memory is known. */
function remember(
  scene: PpcScene,
  nr: bigint,
  [liobn = 0n, ioba = 0n, value = 0n, count = 0n]: readonly bigint[],
): void {
  const call = Number(nr);
  if (call !== kvm.H_PUT_TCE && call !== kvm.H_PUT_TCE_INDIRECT) return;
  const size = 1n << BigInt(scene.tables.pageShift(liobn));
  const entries = call === kvm.H_PUT_TCE ? [value] : listAt(scene, value, Number(count));
  for (const [index, tce] of entries.entries()) {
    if ((tce & TCE_PERMISSIONS) === 0n) continue;
    const iova = ioba - (ioba % size) + BigInt(index) * size;
    scene.mappings.push({ iova, size, vaddr: scene.guestMemory + tce - (tce % size) });
  }
}

function listAt(scene: PpcScene, gpa: bigint, count: number): bigint[] {
  const bytes = new Uint8Array(count * 8);
  scene.actor.readMemory(scene.guestMemory + gpa, bytes);
  const view = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, i) => view.getBigUint64(i * 8));
}
