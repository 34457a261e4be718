import { EFAULT, EINVAL, EIO, EOPNOTSUPP, MAP_SHARED, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { beforeEach, describe, expect, it } from "vitest";
import * as uapi from "../src/index.ts";
import { errnoOf, PAGE, PowerBench } from "./support/power-bench.ts";
import { PVR, type ScriptedCpu, type ScriptedEngine } from "./support/scripted-engine.ts";

const R = uapi.kvmRequests("ppc64le");

let bench: PowerBench;
let host: PowerBench["host"];
let vm: uapi.KvmVm;
let vcpu: uapi.KvmPowerVcpu;
let engines: ScriptedEngine[];
beforeEach(() => {
  bench = new PowerBench();
  ({ host, vm, vcpu, engines } = bench);
});
const cpu = (): ScriptedCpu => bench.cpu();

describe("kvm POWER vCPU: making one", () => {
  it("is advertised with what HV KVM on a radix POWER9 has, and nothing that is not there", () => {
    const expected: [number, number][] = [
      [uapi.KVM_CAP_MAX_VCPUS, 2048],
      [uapi.KVM_CAP_MAX_VCPU_ID, 16384],
      [uapi.KVM_CAP_PPC_PAPR, 1],
      [uapi.KVM_CAP_PPC_MMU_RADIX, 1],
      [uapi.KVM_CAP_PPC_MMU_HASH_V3, 0],
      [uapi.KVM_CAP_PPC_AIL_MODE_3, 1],
      [uapi.KVM_CAP_ONE_REG, 1],
      [uapi.KVM_CAP_IRQCHIP, 0],
      [uapi.KVM_CAP_BINARY_STATS_FD, 1],
    ];
    for (const [capability, value] of expected) expect(vm.checkExtension(capability)).toBe(value);
    expect(bench.system.vcpuMmapSize()).toBe(PAGE);
  });

  it("refuses ids that are taken or have no core", () => {
    for (const id of [0, 2048, 16384, -1]) expect(host.ioctl(vm.fd, R.KVM_CREATE_VCPU, id)).toBe(-EINVAL);
    expect(host.ioctl(vm.fd, R.KVM_CREATE_VCPU, 2047)).toBeGreaterThan(0);
  });

  it("keeps its id when its descriptor is closed, and the VM alive while it is open", () => {
    vm.close();
    expect(bench.kvm.vms.size).toBe(1);
    vcpu.getRegs();
    vcpu.close();
    expect(bench.kvm.vms.size).toBe(0);
    expect(engines[0]?.released).toBe(true);
  });

  it("shows its run page and nothing behind it", () => {
    const map = (length: number, offset: number) =>
      host.mmap({ length, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd: vcpu.fd, offset });
    expect(map(2 * PAGE, 0)).toBe(-EINVAL);
    expect(map(PAGE, PAGE)).toBe(-EINVAL);
  });

  it("answers its own requests only, in its own address space", () => {
    expect(host.ioctl(vcpu.fd, 0x20003b64)).toBe(-EINVAL);
    expect(host.ioctl(vcpu.fd, R.KVM_CREATE_VM)).toBe(-EINVAL);
    expect(host.ioctl(vcpu.fd, R.KVM_GET_FPU, new Uint8Array(256))).toBe(-EOPNOTSUPP);
    const other = host.fork();
    expect(other.ioctl(vcpu.fd, R.KVM_RUN, 0)).toBe(-EIO);
    other.exit();
  });

  it("is made for the memory that there is when it is first needed", () => {
    expect(engines).toHaveLength(0);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: bench.memory(PAGE) });
    cpu();
    expect(engines[0]?.memory.slots.size).toBe(1);
    vcpu.enablePapr();
    vcpu.run();
    const { changes } = engines[0] as ScriptedEngine;
    vcpu.run();
    expect(engines[0]?.changes).toBe(changes);
    vm.setMemoryRegion({ slot: 1, guestAddress: 0x100_0000n, memory: bench.memory(PAGE) });
    vcpu.run();
    expect(engines[0]?.changes).toBe(changes + 1);
  });
});

describe("kvm POWER vCPU: registers", () => {
  it("come and go as a struct; ME stays set, HV clear, PID as it is", () => {
    const gpr = Array.from({ length: 32 }, (_, n) => BigInt(n) * 0x1_0000_0001n);
    const regs = { pc: 0x1000n, cr: 0x2400_0000n, ctr: 1n, lr: 2n, xer: 0x2000_0000n, srr0: 3n, srr1: 4n, pid: 99n };
    const sprg = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n];
    vcpu.setRegs({ ...regs, gpr, sprg, msr: 0x9000_0000_0000_0001n });
    expect(vcpu.getRegs()).toEqual({ ...regs, gpr, sprg, pid: 0n, msr: 0x8000_0000_0000_1001n });
    expect([cpu().pc, cpu().spr(26), cpu().spr(275)]).toEqual([0x1000n, 3n, 4n]);
  });

  it("begin as after a reset: MSR[ME] only", () => {
    expect(vcpu.getRegs()).toMatchObject({ pc: 0n, msr: 0x1000n });
  });

  it("have a processor version that cannot be changed", () => {
    const sregs = vcpu.getSregs();
    expect(BigInt(sregs.pvr)).toBe(PVR);
    sregs.slb[3] = { slbe: 1n << 27n, slbv: 5n };
    vcpu.setSregs(sregs);
    expect(vcpu.getSregs().slb[0]).toEqual({ slbe: 1n << 27n, slbv: 5n });
    expect(errnoOf(() => vcpu.setSregs({ ...sregs, pvr: 0x004d0200 }))).toBe(EINVAL);
  });

  it("are reached one by one: the CPU's, stored ones, and those with rules", () => {
    vcpu.setOneReg(uapi.KVM_REG_PPC_DAR, 0x1234n);
    expect([cpu().spr(19), vcpu.getOneReg(uapi.KVM_REG_PPC_DAR)]).toEqual([0x1234n, 0x1234n]);
    const vsr = uapi.powerRegister(0x60, 16);
    vcpu.setOneReg(vsr, (7n << 64n) | 8n);
    expect(vcpu.getOneReg(vsr)).toBe((7n << 64n) | 8n);
    const lpcr = vcpu.getOneReg(uapi.KVM_REG_PPC_LPCR_64);
    // AIL 1 and 2 do not exist; the upper half is kept by the 32-bit id; other bits are not user space's.
    vcpu.setOneReg(uapi.KVM_REG_PPC_LPCR_64, lpcr | uapi.LPCR_AIL_3 | uapi.LPCR_ILE | 0x800n);
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_LPCR_64)).toBe(lpcr | uapi.LPCR_AIL_3 | uapi.LPCR_ILE);
    expect(cpu().ail).toBe(true);
    vcpu.setOneReg(uapi.KVM_REG_PPC_LPCR, 0x0080_0000n);
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_LPCR_64)).toBe(lpcr);
    vcpu.setOneReg(uapi.KVM_REG_PPC_ARCH_COMPAT, 0x0f000005n);
    expect(errnoOf(() => vcpu.setOneReg(uapi.KVM_REG_PPC_ARCH_COMPAT, 0x0f000006n))).toBe(EINVAL);
    cpu().retired = 500;
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_IC)).toBe(500n);
    vcpu.setOneReg(uapi.KVM_REG_PPC_IC, 7n);
    cpu().retired += 3;
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_IC)).toBe(10n);
    vcpu.setOneReg(uapi.KVM_REG_PPC_DEC_EXPIRY, BigInt(cpu().time) + 777n);
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_DEC_EXPIRY)).toBe(BigInt(cpu().time) + 777n);
  });

  it("refuse ids that do not exist, and pointers that lead nowhere", () => {
    for (const id of [uapi.powerRegister(0x02), uapi.powerRegister(0x0c, 4), 0n, uapi.powerRegister(0x8b)]) {
      expect(errnoOf(() => vcpu.getOneReg(id))).toBe(EINVAL);
      expect(errnoOf(() => vcpu.setOneReg(id, 0n))).toBe(EINVAL);
    }
    expect(errnoOf(() => vcpu.getOneReg(uapi.KVM_REG_PPC_ICP_STATE))).toBe(6);
    const wild = uapi.kvm_one_reg.encode({ id: uapi.KVM_REG_PPC_DAR, addr: 0x10n });
    for (const request of [R.KVM_GET_ONE_REG, R.KVM_SET_ONE_REG, R.KVM_GET_REGS, R.KVM_SET_REGS, R.KVM_SET_SREGS]) {
      expect(host.ioctl(vcpu.fd, request, request === R.KVM_GET_ONE_REG ? wild : 0x10n)).toBe(-EFAULT);
    }
    const tooLarge = uapi.kvm_one_reg.encode({ id: uapi.KVM_REG_PPC_DAR | (6n << 52n), addr: 0x10n });
    expect(host.ioctl(vcpu.fd, R.KVM_SET_ONE_REG, tooLarge)).toBe(-EINVAL);
  });

  it("say where the process table is, for radix guests only", () => {
    vm.configureRadix(0x100_0000n, 24);
    expect(cpu().table).toEqual([0x100_0000, 24]);
    const configure = (flags: bigint, process_table: bigint): number =>
      host.ioctl(vm.fd, R.KVM_PPC_CONFIGURE_V3_MMU, uapi.kvm_ppc_mmuv3_cfg.encode({ flags, process_table }));
    expect(configure(4n, uapi.PATB_GR)).toBe(-EINVAL);
    expect(configure(1n, 0n)).toBe(-EINVAL);
    expect(configure(0n, uapi.PATB_GR)).toBe(-EINVAL);
    expect(configure(1n, uapi.PATB_GR | 25n)).toBe(-EINVAL);
    expect(configure(0n, 0n)).toBe(-EINVAL);
    const info = new Uint8Array(uapi.kvm_ppc_rmmu_info.size);
    expect(host.ioctl(vm.fd, R.KVM_PPC_GET_RMMU_INFO, info)).toBe(0);
    expect(uapi.kvm_ppc_rmmu_info.decode(info).geometries[1]).toEqual({ page_shift: 16, level_bits: [5, 9, 9, 13] });
  });
});
