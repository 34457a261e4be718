// The hypercalls that HV KVM answers itself on a radix POWER9, without devices in the kernel.
// Source: arch/powerpc/kvm/book3s_hv.c (kvmppc_pseries_do_hcall, default_hcall_list, kvmppc_h_set_mode, ...).
// H_CEDE is not here: it puts the vCPU to sleep, and the vCPU does that. Hash page table calls are H_FUNCTION for a radix
// guest; interrupt controller calls are user space's, because there is no controller in the kernel.

import * as h from "../../uapi-papr.ts";
import type { Hypercall, HypercallHandler, Vm } from "../frame.ts";
import { H_TOO_HARD } from "../hypercalls.ts";
import type { PowerVcpuFrame } from "./frame.ts";
import { powerVm } from "./vm.ts";

const SPR_CIABR = 187;
const SET_CIABR = 1;
const SET_DAWR0 = 2;
const SET_DAWR1 = 5;
const CIABR_PRIV = 3;
const DABRX_PRIVILEGES = 3;
const DABRX_BITS = 0xb;
const PAGE = 4096;
const PAGE_INIT_LO = (1 << 23) | (1 << 22) | (1 << 15) | (1 << 14);
const PAGE_INIT_HI = 0xf;
const ZERO_PAGE = 1 << 15;
const COPY_PAGE = 1 << 14;
const RPTI_TYPE_NESTED = 1;

/** Register n as a number, -1 when it is 2^53 or more. */
function small(gpr: Uint32Array, n: number): number {
  const hi = gpr[2 * n + 1] as number;
  return hi < 0x20_0000 ? hi * 0x1_0000_0000 + (gpr[2 * n] as number) : -1;
}

const lo = (gpr: Uint32Array, n: number): number => gpr[2 * n] as number;
const hi = (gpr: Uint32Array, n: number): number => gpr[2 * n + 1] as number;
const isZero = (gpr: Uint32Array, n: number): boolean => gpr[2 * n] === 0 && gpr[2 * n + 1] === 0;

function target(vm: Vm, gpr: Uint32Array, n: number): PowerVcpuFrame | undefined {
  return powerVm(vm).vcpus.get(small(gpr, n));
}

const prod: HypercallHandler = (vm, gpr) => {
  const vcpu = target(vm, gpr, 4);
  if (!vcpu) return h.H_PARAMETER;
  vcpu.prod();
  return h.H_SUCCESS;
};

/** Nobody runs meanwhile who could be given time; the checks are the kernel's. */
const confer: HypercallHandler = (vm, gpr) => {
  const everybody = lo(gpr, 4) === 0xffff_ffff && hi(gpr, 4) === 0xffff_ffff;
  return everybody || target(vm, gpr, 4) ? h.H_SUCCESS : h.H_PARAMETER;
};

const registerVpa: HypercallHandler = (vm, gpr) => {
  const vcpu = target(vm, gpr, 5);
  return vcpu ? vcpu.areas.register((hi(gpr, 4) >>> 13) & 7, small(gpr, 6)) : h.H_PARAMETER;
};

const setMode: HypercallHandler = (vm, gpr) => {
  const resource = small(gpr, 5);
  if (resource === SET_CIABR) {
    if (!isZero(gpr, 7)) return h.H_P4;
    if (!isZero(gpr, 4)) return h.H_UNSUPPORTED_FLAG_START;
    if ((lo(gpr, 6) & CIABR_PRIV) === CIABR_PRIV) return h.H_P3;
    const cpu = powerVm(vm).running?.cpu;
    cpu?.setSpr(SPR_CIABR, cpu.gpr64[6] as bigint);
    return h.H_SUCCESS;
  }
  // POWER9's data watchpoints do not work, and the kernel keeps guests away from them.
  if (resource === SET_DAWR0 || resource === SET_DAWR1) return h.H_P2;
  return H_TOO_HARD;
};

const setXdabr: HypercallHandler = (_vm, gpr) => {
  const wrong = (lo(gpr, 5) & DABRX_PRIVILEGES) === 0 || (lo(gpr, 5) & ~DABRX_BITS) !== 0 || hi(gpr, 5) !== 0;
  return wrong ? h.H_PARAMETER : h.H_HARDWARE;
};

/** An eventfd may be waiting at the address; everything else is user space's. */
const logicalStore: HypercallHandler = (vm, gpr) => {
  const size = small(gpr, 4);
  if (vm.ioeventfds.size === 0 || ![1, 2, 4, 8].includes(size)) return H_TOO_HARD;
  const registers = new DataView(gpr.buffer, gpr.byteOffset);
  const value = registers.getBigUint64(8 * 6, true);
  const swapped = new DataView(new ArrayBuffer(8));
  swapped.setBigUint64(0, value << BigInt(64 - 8 * size));
  const stored = swapped.getBigUint64(0, true);
  return vm.ioeventfds.write(false, registers.getBigUint64(8 * 5, true), size, stored) ? h.H_SUCCESS : H_TOO_HARD;
};

const pageInit: HypercallHandler = (vm, gpr) => {
  const flags = lo(gpr, 4);
  if ((flags & ~PAGE_INIT_LO) !== 0 || (hi(gpr, 4) & ~PAGE_INIT_HI) !== 0) return h.H_PARAMETER;
  const [to, from] = [small(gpr, 5), small(gpr, 6)];
  const copies = (flags & COPY_PAGE) !== 0;
  if (lo(gpr, 5) % PAGE !== 0 || (copies && lo(gpr, 6) % PAGE !== 0)) return h.H_PARAMETER;
  if (!copies && (flags & ZERO_PAGE) === 0) return h.H_SUCCESS;
  const { mm } = vm.process;
  const bytes = new Uint8Array(PAGE);
  if (copies) {
    // The kernel's bounds are one too strict: the last page of a slot cannot be copied.
    const [source, destination] = [vm.slots.userAddressOf(from), vm.slots.userAddressOf(to)];
    if (source < 0 || destination < 0) return h.H_PARAMETER;
    if (vm.slots.userAddressOf(from + PAGE) !== source + PAGE) return h.H_PARAMETER;
    if (vm.slots.userAddressOf(to + PAGE) !== destination + PAGE) return h.H_PARAMETER;
    if (!mm.read(source, bytes)) return h.H_PARAMETER;
  }
  const user = vm.slots.userAddressOf(to);
  return user >= 0 && mm.write(user, bytes) ? h.H_SUCCESS : h.H_PARAMETER;
};

const random: HypercallHandler = (_vm, gpr) => {
  const [low = 0, high = 0] = globalThis.crypto.getRandomValues(new Uint32Array(2));
  gpr[8] = low;
  gpr[9] = high;
  return h.H_SUCCESS;
};

const invalidate: HypercallHandler = (vm, gpr) => {
  const [start, end] = [8, 9];
  const before = hi(gpr, end) < hi(gpr, start) || (hi(gpr, end) === hi(gpr, start) && lo(gpr, end) < lo(gpr, start));
  if (before) return h.H_P5;
  if ((lo(gpr, 6) & RPTI_TYPE_NESTED) !== 0) return h.H_FUNCTION;
  for (const vcpu of powerVm(vm).vcpus.values()) vcpu.cpu.flushTlb();
  return h.H_SUCCESS;
};

const always =
  (code: number): HypercallHandler =>
  () =>
    code;

/** Number, handler, and whether a new VM has it switched on. */
const CALLS: readonly (readonly [number, HypercallHandler, boolean])[] = [
  [h.H_REMOVE, always(h.H_FUNCTION), true],
  [h.H_ENTER, always(h.H_FUNCTION), true],
  [h.H_READ, always(h.H_FUNCTION), true],
  [h.H_CLEAR_MOD, always(h.H_FUNCTION), false],
  [h.H_CLEAR_REF, always(h.H_FUNCTION), false],
  [h.H_PROTECT, always(h.H_FUNCTION), true],
  [h.H_BULK_REMOVE, always(h.H_FUNCTION), true],
  [h.H_SET_DABR, always(h.H_HARDWARE), true],
  [h.H_SET_XDABR, setXdabr, true],
  [h.H_PAGE_INIT, pageInit, false],
  [h.H_LOGICAL_CI_LOAD, always(H_TOO_HARD), false],
  [h.H_LOGICAL_CI_STORE, logicalStore, false],
  [h.H_EOI, always(H_TOO_HARD), true],
  [h.H_CPPR, always(H_TOO_HARD), true],
  [h.H_IPI, always(H_TOO_HARD), true],
  [h.H_IPOLL, always(H_TOO_HARD), true],
  [h.H_XIRR, always(H_TOO_HARD), true],
  [h.H_XIRR_X, always(H_TOO_HARD), true],
  [h.H_REGISTER_VPA, registerVpa, true],
  // The vCPU takes it before the table is asked.
  [h.H_CEDE, always(h.H_SUCCESS), true],
  [h.H_CONFER, confer, true],
  [h.H_PROD, prod, true],
  [h.H_RANDOM, random, false],
  [h.H_SET_MODE, setMode, false],
  [h.H_RPT_INVALIDATE, invalidate, false],
];

export function paprHypercalls(): Map<number, Hypercall> {
  return new Map(CALLS.map(([nr, handle, enabled]) => [nr, { handle, enabled }]));
}

/** Calls beyond the switchable numbers that the kernel answers all the same: secure and nested guests, which it lacks. */
const BEYOND = new Map<number, number>([
  ...[0xef00, 0xef04, 0xef08, 0xef0c, 0xef14].map((nr): [number, number] => [nr, h.H_UNSUPPORTED]),
  ...[0xf800, 0xf804, 0xf808, 0xf80c].map((nr): [number, number] => [nr, h.H_FUNCTION]),
]);

export function beyondTable(nr: number): number {
  return BEYOND.get(nr) ?? H_TOO_HARD;
}
