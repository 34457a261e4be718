import {
  EFAULT,
  EINTR,
  EINVAL,
  EIO,
  EOPNOTSUPP,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  type Mapping,
  PROT_READ,
  PROT_WRITE,
} from "@minivmm/host";
import { ManualClock, ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { beforeEach, describe, expect, it } from "vitest";
import * as uapi from "../src/index.ts";
import { EngineExit, H_TOO_HARD, installPowerKvm, ModelKvm, type ModelVm } from "../src/model/index.ts";
import { PVR, type ScriptedCpu, ScriptedEngine } from "./support/scripted-engine.ts";

const R = uapi.kvmRequests("ppc64le");
const H_CEDE = 0xe0;
const PAGE = 65536;

let clock: ManualClock;
let kvm: ModelKvm;
let host: ModelProcess;
let system: uapi.KvmSystem;
let vm: uapi.KvmVm;
let vcpu: uapi.KvmPowerVcpu;
let engines: ScriptedEngine[];

beforeEach(() => {
  clock = new ManualClock();
  kvm = new ModelKvm(new ModelKernel({ arch: "ppc64le", clock }));
  engines = [];
  installPowerKvm(kvm, (memory) => {
    const engine = new ScriptedEngine(memory);
    engines.push(engine);
    return engine;
  });
  host = kvm.kernel.spawn();
  system = uapi.KvmSystem.open(host);
  vm = system.createVm();
  vcpu = vm.createPowerVcpu(0);
});

const model = (): ModelVm => [...kvm.vms][0] as ModelVm;
/** The CPU of the first vCPU; made when it is first asked for. */
function cpu(): ScriptedCpu {
  if (engines.length === 0) vcpu.getRegs();
  return (engines[0] as ScriptedEngine).cpu;
}
const errnoOf = (call: () => unknown): number => {
  try {
    call();
  } catch (error) {
    return (error as uapi.KvmError).errno ?? 0;
  }
  return 0;
};
const memory = (bytes: number): Uint8Array => {
  const mapping = host.mmap({ length: bytes, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  return (mapping as Mapping).bytes as Uint8Array;
};

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
    expect(system.vcpuMmapSize()).toBe(PAGE);
  });

  it("refuses ids that are taken or have no core", () => {
    for (const id of [0, 2048, 16384, -1]) expect(host.ioctl(vm.fd, R.KVM_CREATE_VCPU, id)).toBe(-EINVAL);
    expect(host.ioctl(vm.fd, R.KVM_CREATE_VCPU, 2047)).toBeGreaterThan(0);
  });

  it("keeps its id when its descriptor is closed, and the VM alive while it is open", () => {
    vm.close();
    expect(kvm.vms.size).toBe(1);
    vcpu.getRegs();
    vcpu.close();
    expect(kvm.vms.size).toBe(0);
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
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: memory(PAGE) });
    cpu();
    expect(engines[0]?.memory.slots.size).toBe(1);
    vcpu.enablePapr();
    vcpu.run();
    const { changes } = engines[0] as ScriptedEngine;
    vcpu.run();
    expect(engines[0]?.changes).toBe(changes);
    vm.setMemoryRegion({ slot: 1, guestAddress: 0x100_0000n, memory: memory(PAGE) });
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

describe("kvm POWER vCPU: running", () => {
  it("refuses arguments, and guests that are not PAPR", () => {
    expect(host.ioctl(vcpu.fd, R.KVM_RUN, 1)).toBe(-EINVAL);
    expect(host.ioctl(vcpu.fd, R.KVM_RUN, 0)).toBe(-EINVAL);
    const enable = (cap: number, flags = 0): number =>
      host.ioctl(vcpu.fd, R.KVM_ENABLE_CAP, uapi.kvm_enable_cap.encode({ cap, flags }));
    expect(enable(uapi.KVM_CAP_PPC_PAPR, 1)).toBe(-EINVAL);
    expect(enable(uapi.KVM_CAP_PPC_ENABLE_HCALL)).toBe(-EINVAL);
    expect(enable(uapi.KVM_CAP_PPC_PAPR)).toBe(0);
    expect(vcpu.run()).toBe(-EINTR);
  });

  it("hands hypercalls over that the kernel does not answer, and takes their results", () => {
    vcpu.enablePapr();
    cpu().hypercall(0x58, 1, 2, 3n << 40n);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_PAPR_HCALL);
    const registers = vcpu.hypercall();
    expect([registers[6], registers[8], registers[10], registers[13]]).toEqual([0x58, 1, 2, 3 << 8]);
    registers[6] = 0xffff_fffc;
    registers[7] = 0xffff_ffff;
    registers[8] = 77;
    vcpu.run();
    expect(BigInt.asIntN(64, cpu().gpr64[3] as bigint)).toBe(-4n);
    expect([cpu().gpr64[4], cpu().gpr64[5], cpu().gpr64[6]]).toEqual([77n, 2n, 3n << 40n]);
  });

  it("answers hypercalls of the VM's table without an exit, unless they are too hard or off", () => {
    kvm.hypercalls.set(0x1c, { enabled: true, handle: (_vm, gpr) => (gpr[8] === 1 ? -4 : H_TOO_HARD) });
    const other = uapi.KvmSystem.open(host).createVm();
    vcpu = other.createPowerVcpu(0);
    vcpu.enablePapr();
    cpu().hypercall(0x1c, 1);
    cpu().hypercall(0x1c, 2);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_PAPR_HCALL);
    expect(vcpu.hypercall()[8]).toBe(2);
    expect(vcpu.statistics()).toMatchObject({ hcall_virtual_0x1c: 1, hcall_user_0x1c: 1, sum_exits: 2 });
    other.enableCap(uapi.KVM_CAP_PPC_ENABLE_HCALL, [0x1cn, 0n]);
    cpu().hypercall(0x1c, 1);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_PAPR_HCALL);
  });

  it("waits for the value of a load, and finishes it even when it shall leave at once", () => {
    vcpu.enablePapr();
    cpu().pc = 0x100n;
    cpu().access(0x2000_8000_0010, 4, false);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_MMIO);
    const exit = vcpu.mmioExit();
    expect(exit).toMatchObject({ address: 0x2000_8000_0010n, length: 4, write: false });
    expect(cpu().finished).toEqual([]);
    exit.data.set([1, 2, 3, 4]);
    vcpu.immediateExit = true;
    expect(vcpu.run()).toBe(-EINTR);
    expect(cpu().finished).toEqual([[0x04030201, 0]]);
    vcpu.immediateExit = false;
    cpu().access(0x2000_8000_0018, 8, true, 5, 6);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_MMIO);
    expect([...vcpu.mmioWords()].slice(2, 5)).toEqual([5, 6, 8]);
    // A store is done when it is handed over.
    expect(cpu().finished).toHaveLength(2);
    expect(cpu().pc).toBe(0x108n);
  });

  it("forgets a load whose instruction user space has taken the CPU away from", () => {
    vcpu.enablePapr();
    cpu().access(0x1000_0000, 4, false);
    vcpu.run();
    vcpu.setRegs({ ...vcpu.getRegs(), pc: 0x4000n });
    vcpu.run();
    expect(cpu().finished).toEqual([]);
    expect(cpu().pc).toBe(0x4000n);
  });

  it("signals an eventfd that waits at an address instead of leaving", () => {
    vcpu.enablePapr();
    const fd = host.eventfd(0, 0);
    vm.assignIoEventFd({ fd, address: 0x3000n, length: 4, match: 9n });
    cpu().access(0x3000, 4, true, 9);
    cpu().access(0x3000, 4, true, 8);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_MMIO);
    expect(vcpu.mmioWords()[2]).toBe(8);
    expect(host.read(fd, new Uint8Array(8))).toBe(8);
  });

  it("fails where a slot's memory has been taken away", () => {
    vcpu.enablePapr();
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: memory(PAGE) });
    cpu().access(0x10, 4, false);
    expect(errnoOf(() => vcpu.run())).toBe(EFAULT);
  });

  it("leaves with an internal error and a line in the log when the CPU cannot go on", () => {
    vcpu.enablePapr();
    cpu().exit.message = "no such mode";
    cpu().script.push(() => EngineExit.halt);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_INTERNAL_ERROR);
    expect(vcpu.internalError()).toBe(uapi.KVM_INTERNAL_ERROR_EMULATION);
    expect(kvm.kernel.log).toEqual(["kvm: vCPU 0: no such mode"]);
  });

  it("is interrupted after a slice of instructions, runnable at once", async () => {
    vcpu.enablePapr();
    expect(vcpu.run()).toBe(-EINTR);
    let told = 0;
    const watch = host.watch(vcpu.fd, () => told++);
    await Promise.resolve();
    expect(told).toBe(1);
    watch.close();
  });

  it("cannot be run from inside itself, nor be changed", () => {
    vcpu.enablePapr();
    const results: number[] = [];
    cpu().script.push(() => {
      results.push(host.ioctl(vcpu.fd, R.KVM_RUN, 0), host.ioctl(vcpu.fd, R.KVM_GET_REGS, new Uint8Array(392)));
      vcpu.setExternalInterrupt(true);
      return EngineExit.budget;
    });
    vcpu.run();
    expect(results).toEqual([-EINTR, -EINTR]);
    expect(cpu().externalInterrupt).toBe(true);
  });
});

describe("kvm POWER vCPU: sleeping and interrupts", () => {
  const asleep = (): void => {
    vcpu.enablePapr();
    cpu().decrementer = cpu().time + 512_000 * 10;
    cpu().hypercall(H_CEDE);
    expect(vcpu.run()).toBe(-EINTR);
    expect(cpu().gpr64[3]).toBe(0n);
    expect(cpu().msr & 0x8000n).toBe(0x8000n);
  };
  const watched = (): (() => number) => {
    let told = 0;
    host.watch(vcpu.fd, () => told++);
    return () => told;
  };

  it("ends with the decrementer, in the host's time", async () => {
    asleep();
    const told = watched();
    await Promise.resolve();
    expect(told()).toBe(0);
    clock.advance(9);
    expect(told()).toBe(0);
    clock.advance(1.1);
    expect(told()).toBe(1);
    expect(vcpu.run()).toBe(-EINTR);
    expect(cpu().time).toBe(Math.floor(10.1 * 512_000));
  });

  it("ends with an interrupt: a level until it is taken back, or one that comes once", () => {
    asleep();
    const told = watched();
    vcpu.setExternalInterrupt(true);
    expect([told(), cpu().externalInterrupt, cpu().once]).toEqual([1, true, false]);
    vcpu.setExternalInterrupt(false);
    expect(cpu().externalInterrupt).toBe(false);
    host.ioctl(vcpu.fd, R.KVM_INTERRUPT, uapi.kvm_interrupt.encode({ irq: uapi.KVM_INTERRUPT_SET }));
    expect([cpu().externalInterrupt, cpu().once]).toEqual([true, true]);
    expect(host.ioctl(vcpu.fd, R.KVM_INTERRUPT, 0x10n)).toBe(-EFAULT);
  });

  it("does not begin when something is pending, or another vCPU prodded", () => {
    vcpu.enablePapr();
    cpu().hypercall(H_CEDE);
    vcpu.setExternalInterrupt(true);
    cpu().hypercall(0x58);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_PAPR_HCALL);
    vcpu.setExternalInterrupt(false);
    const second = vm.createPowerVcpu(5);
    second.enablePapr();
    second.getRegs();
    (engines[1] as ScriptedEngine).cpu.hypercall(0xe8, 0);
    (engines[1] as ScriptedEngine).cpu.hypercall(0xe8, 1);
    (engines[1] as ScriptedEngine).cpu.hypercall(0x58);
    second.run();
    expect(second.statistics()).toMatchObject({ hcall_virtual_0xe8: 2 });
    cpu().hypercall(H_CEDE);
    cpu().hypercall(0x58);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_PAPR_HCALL);
  });

  it("follows the host's clock, and an offset in units of 2^24", () => {
    vcpu.enablePapr();
    clock.advance(2);
    vcpu.run();
    expect(cpu().time).toBe(2 * 512_000);
    vcpu.setOneReg(uapi.KVM_REG_PPC_TB_OFFSET, 1n);
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_TB_OFFSET)).toBe(1n << 24n);
    vcpu.run();
    expect(cpu().time).toBe(2 * 512_000 + 2 ** 24);
    // Time does not go back.
    vcpu.setOneReg(uapi.KVM_REG_PPC_TB_OFFSET, 0n);
    vcpu.run();
    expect(cpu().time).toBe(2 * 512_000 + 2 ** 24);
  });
});

describe("kvm POWER: the VM's statistics", () => {
  it("are read through a descriptor that keeps the VM", () => {
    expect(vm.statistics()).toHaveProperty("remote_tlb_flush", 0);
    const fd = host.ioctl(vcpu.fd, R.KVM_GET_STATS_FD);
    vcpu.close();
    vm.close();
    expect(kvm.vms.size).toBe(1);
    expect(host.read(fd, new Uint8Array(24))).toBe(24);
    expect(host.pread(fd, new Uint8Array(24), 1 << 20)).toBe(0);
    host.close(fd);
    expect(kvm.vms.size).toBe(0);
    expect(model()).toBeUndefined();
  });
});
