// KVM_GET_ONE_REG and KVM_SET_ONE_REG: single registers by id. Most are registers of the CPU or plain storage for what
// this CPU does not have (floating point, vectors, transactions); a few have rules.
// Source: arch/powerpc/kvm/book3s_hv.c (kvmppc_get_one_reg_hv, kvmppc_set_one_reg_hv), book3s.c, powerpc.c.

import { EINVAL, ENXIO } from "@minivmm/host";
import {
  KVM_REG_PPC_AMR,
  KVM_REG_PPC_ARCH_COMPAT,
  KVM_REG_PPC_DAR,
  KVM_REG_PPC_DEC_EXPIRY,
  KVM_REG_PPC_DSISR,
  KVM_REG_PPC_FSCR,
  KVM_REG_PPC_IC,
  KVM_REG_PPC_ICP_STATE,
  KVM_REG_PPC_LPCR,
  KVM_REG_PPC_LPCR_64,
  KVM_REG_PPC_ONLINE,
  KVM_REG_PPC_PID,
  KVM_REG_PPC_TB_OFFSET,
  KVM_REG_PPC_TM,
  KVM_REG_PPC_VPA_ADDR,
  KVM_REG_PPC_VPA_DTL,
  KVM_REG_PPC_VPA_SLB,
  powerRegister,
  registerBytes,
} from "../../uapi-power.ts";
import type { PowerVcpuFrame } from "./frame.ts";
import { changedLpcr } from "./vm.ts";
import type { SharedArea } from "./vpa.ts";

const SPR_DEC = 22;
/** Logical PVRs that a POWER9 can be: architecture 2.05 to 3.00, and 0 for its own. */
const COMPATIBLE = [0n, 0x0f000002n, 0x0f000003n, 0x0f100003n, 0x0f000004n, 0x0f000005n];
const TB_OFFSET_UNIT = 1n << 24n;
const PSSCR_GUEST_VISIBLE = 0xf000_0000_0000_03ffn;
const SOFTWARE_BREAKPOINT = 0x00dddd00n;

/** Registers that the CPU keeps: number of the id, SPR, bytes. */
const SPRS: readonly (readonly [id: bigint, spr: number])[] = [
  [powerRegister(0x09), 17],
  [KVM_REG_PPC_DAR, 19],
  [KVM_REG_PPC_DSISR, 18],
  [KVM_REG_PPC_AMR, 29],
  [powerRegister(0x0f), 157],
  [powerRegister(0x10), 795],
  [powerRegister(0x11), 798],
  [powerRegister(0x12), 786],
  [powerRegister(0x13), 785],
  [powerRegister(0x15), 796],
  [powerRegister(0x16), 797],
  [powerRegister(0x17), 784],
  ...Array.from({ length: 6 }, (_, n): [bigint, number] => [powerRegister(0x18 + n, 4), 787 + n]),
  [powerRegister(0x9f), 61],
  [KVM_REG_PPC_FSCR, 153],
  [powerRegister(0xa5), 804],
  [powerRegister(0xa6), 805],
  [powerRegister(0xa7), 806],
  [powerRegister(0xa8), 815],
  [powerRegister(0xac), 187],
  [KVM_REG_PPC_PID, 48],
  [powerRegister(0xb4, 4), 256],
  [powerRegister(0xb6), 896],
];

const range = (from: number, to: number, size: 4 | 8 | 16): bigint[] =>
  Array.from({ length: to - from + 1 }, (_, n) => powerRegister(from + n, size));
const transactional = (from: number, to: number, size: 4 | 8 | 16): bigint[] =>
  range(from, to, size).map((id) => id | KVM_REG_PPC_TM);

/** Registers that keep what they are given and do nothing. */
const STORED = new Set<bigint>([
  ...[0x08, 0x0a, 0x0b, 0x14, 0xa9, 0xaa, 0xab, 0xaf, 0xb0, 0xb1, 0xb3, 0xb9, 0xbc].map((n) => powerRegister(n)),
  ...[0xae, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8].map((n) => powerRegister(n)),
  ...[0x1e, 0x1f, 0x9d, 0x9e, 0xa4].map((n) => powerRegister(n, 4)),
  ...range(0x20, 0x3f, 8),
  ...range(0x40, 0x5f, 16),
  ...range(0x60, 0x7f, 16),
  powerRegister(0x80),
  powerRegister(0x81, 4),
  ...transactional(0x00, 0x1f, 8),
  ...transactional(0x20, 0x5f, 16),
  ...transactional(0x60, 0x66, 8),
  ...transactional(0x67, 0x67, 4),
  ...transactional(0x68, 0x6a, 8),
  ...range(0xa0, 0xa2, 8),
]);

interface Rule {
  get?(vcpu: PowerVcpuFrame): bigint;
  /** 0 or -errno. */
  set?(vcpu: PowerVcpuFrame, value: bigint): number;
}

const area = (name: "vpa" | "dtl" | "slbShadow"): Rule => ({
  get: ({ areas }) => pair(areas[name], name !== "vpa"),
  set: ({ areas }, value) => areas.set(name, Number(value & 0xffff_ffff_ffff_ffffn), Number(value >> 64n)),
});
const pair = ({ address, length }: SharedArea, both: boolean): bigint =>
  BigInt(address) | (both ? BigInt(length) << 64n : 0n);
const lpcr = (keepUpper: boolean): Rule => ({
  get: (vcpu) => vcpu.lpcr,
  set: (vcpu, value) => vcpu.setLpcr(changedLpcr(vcpu.lpcr, value, keepUpper)),
});

function assign<T, K extends keyof T>(to: T, key: K, value: T[K]): number {
  to[key] = value;
  return 0;
}

const RULES = new Map<bigint, Rule>([
  [powerRegister(0x01), { get: () => 0n, set: (_vcpu, value) => (value === 0n ? 0 : -EINVAL) }],
  [powerRegister(0x8b, 4), { get: () => SOFTWARE_BREAKPOINT }],
  [
    powerRegister(0xb8, 4),
    { get: (v) => v.stored.get(powerRegister(0xb8, 4)) ?? 0n, set: (v, x) => v.store(powerRegister(0xb8, 4), x & ~4n) },
  ],
  [
    powerRegister(0xbd),
    {
      get: (v) => v.stored.get(powerRegister(0xbd)) ?? 0n,
      set: (v, x) => v.store(powerRegister(0xbd), x & PSSCR_GUEST_VISIBLE),
    },
  ],
  [powerRegister(0xc0), { get: (v) => v.power.nestedTable, set: (v, x) => assign(v.power, "nestedTable", x) }],
  [KVM_REG_PPC_VPA_ADDR, area("vpa")],
  [KVM_REG_PPC_VPA_SLB, area("slbShadow")],
  [KVM_REG_PPC_VPA_DTL, area("dtl")],
  [KVM_REG_PPC_LPCR, lpcr(true)],
  [KVM_REG_PPC_LPCR_64, lpcr(false)],
  [
    KVM_REG_PPC_TB_OFFSET,
    {
      get: (v) => v.clock.offset,
      set: (v, x) =>
        v.clock.setOffset(BigInt.asUintN(64, ((x + TB_OFFSET_UNIT - 1n) / TB_OFFSET_UNIT) * TB_OFFSET_UNIT)),
    },
  ],
  [
    KVM_REG_PPC_DEC_EXPIRY,
    {
      get: (v) => BigInt.asUintN(64, BigInt(v.cpu.timebase()) + BigInt.asIntN(32, v.cpu.spr(SPR_DEC))),
      set: setExpiry,
    },
  ],
  [
    KVM_REG_PPC_IC,
    {
      get: (v) => BigInt(v.cpu.retired) + v.retiredBefore,
      set: (v, x) => assign(v, "retiredBefore", x - BigInt(v.cpu.retired)),
    },
  ],
  [
    KVM_REG_PPC_ARCH_COMPAT,
    {
      get: (v) => v.stored.get(KVM_REG_PPC_ARCH_COMPAT) ?? 0n,
      set: (v, x) => (COMPATIBLE.includes(x) ? v.store(KVM_REG_PPC_ARCH_COMPAT, x) : -EINVAL),
    },
  ],
  [KVM_REG_PPC_ONLINE, { get: (v) => BigInt(v.online), set: (v, x) => assign(v, "online", Number(x)) }],
]);

/** The decrementer has 32 bits: further away is as far as it goes. */
function setExpiry(vcpu: PowerVcpuFrame, expiry: bigint): number {
  const ticks = BigInt.asIntN(64, expiry - BigInt(vcpu.cpu.timebase()));
  const most = 0x7fff_ffffn;
  vcpu.cpu.setSpr(SPR_DEC, BigInt.asUintN(64, ticks > most ? most : ticks < -most ? -most : ticks));
  return 0;
}

const SPR_OF = new Map(SPRS);
const NO_CONTROLLER = new Set([KVM_REG_PPC_ICP_STATE, powerRegister(0x8d, 16)]);

/** The value of a register, or -errno. */
export function getOneReg(vcpu: PowerVcpuFrame, id: bigint): bigint | number {
  if (registerBytes(id) > 16) return -EINVAL;
  const spr = SPR_OF.get(id);
  if (spr !== undefined) return BigInt.asUintN(8 * registerBytes(id), vcpu.cpu.spr(spr));
  if (STORED.has(id)) return vcpu.stored.get(id) ?? 0n;
  if (NO_CONTROLLER.has(id)) return -ENXIO;
  return RULES.get(id)?.get?.(vcpu) ?? -EINVAL;
}

/** 0 or -errno. `value` has the size that the id says. */
export function setOneReg(vcpu: PowerVcpuFrame, id: bigint, value: bigint): number {
  const spr = SPR_OF.get(id);
  if (spr !== undefined) vcpu.cpu.setSpr(spr, value);
  else if (STORED.has(id)) vcpu.store(id, value);
  else if (NO_CONTROLLER.has(id)) return -ENXIO;
  else {
    const set = RULES.get(id)?.set;
    return set ? set(vcpu, value) : -EINVAL;
  }
  return 0;
}
