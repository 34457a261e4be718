import { EFAULT, EINTR, EINVAL } from "@minivmm/host";
import { beforeEach, describe, expect, it } from "vitest";
import * as uapi from "../src/index.ts";
import { EngineExit, H_TOO_HARD } from "../src/model/index.ts";
import { errnoOf, PAGE, PowerBench } from "./support/power-bench.ts";
import type { ScriptedCpu, ScriptedEngine } from "./support/scripted-engine.ts";

const R = uapi.kvmRequests("ppc64le");
const H_CEDE = 0xe0;

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
    bench.kvm.hypercalls.set(0x1c, { enabled: true, handle: (_vm, gpr) => (gpr[8] === 1 ? -4 : H_TOO_HARD) });
    const other = uapi.KvmSystem.open(host).createVm();
    vcpu = other.createPowerVcpu(0);
    bench.vcpu = vcpu;
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
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: bench.memory(PAGE) });
    cpu().access(0x10, 4, false);
    expect(errnoOf(() => vcpu.run())).toBe(EFAULT);
  });

  it("leaves with an internal error and a line in the log when the CPU cannot go on", () => {
    vcpu.enablePapr();
    cpu().exit.message = "no such mode";
    cpu().script.push(() => EngineExit.halt);
    expect(vcpu.run()).toBe(uapi.KVM_EXIT_INTERNAL_ERROR);
    expect(vcpu.internalError()).toBe(uapi.KVM_INTERNAL_ERROR_EMULATION);
    expect(bench.kvm.kernel.log).toEqual(["kvm: vCPU 0: no such mode"]);
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
    bench.clock.advance(9);
    expect(told()).toBe(0);
    bench.clock.advance(1.1);
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
    bench.clock.advance(2);
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
    expect(bench.kvm.vms.size).toBe(1);
    expect(host.read(fd, new Uint8Array(24))).toBe(24);
    expect(host.pread(fd, new Uint8Array(24), 1 << 20)).toBe(0);
    host.close(fd);
    expect(bench.kvm.vms.size).toBe(0);
  });
});
