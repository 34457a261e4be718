// The hypercalls that HV KVM answers itself.
import { MAP_ANONYMOUS, MAP_PRIVATE, type Mapping, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { beforeEach, describe, expect, it } from "vitest";
import * as uapi from "../src/index.ts";
import { H_TOO_HARD, installPowerKvm, ModelKvm, type ModelVm } from "../src/model/index.ts";
import { ScriptedEngine } from "./support/scripted-engine.ts";

const [H_SUCCESS, H_HARDWARE, H_FUNCTION, H_PARAMETER, H_RESOURCE] = [0, -1, -2, -4, -16];
const [H_P2, H_P3, H_P4, H_P5, H_UNSUPPORTED, H_UNSUPPORTED_FLAG] = [-55, -56, -57, -58, -67, -256];
const H_REGISTER_VPA = 0xdc;
const H_PAGE_INIT = 0x2c;
const H_SET_MODE = 0x31c;
const H_RPT_INVALIDATE = 0x448;
const PAGE = 65536;
const vpa = (what: number): bigint => BigInt(what) << 45n;

let host: ModelProcess;
let vm: uapi.KvmVm;
let vcpu: uapi.KvmPowerVcpu;
let engine: ScriptedEngine;
let ram: Uint8Array;
let model: ModelVm;

beforeEach(() => {
  const kvm = new ModelKvm(new ModelKernel({ arch: "ppc64le" }));
  installPowerKvm(kvm, (memory) => {
    engine = new ScriptedEngine(memory);
    return engine;
  });
  host = kvm.kernel.spawn();
  vm = uapi.KvmSystem.open(host).createVm();
  const mapping = host.mmap({ length: 4 * PAGE, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  ram = (mapping as Mapping).bytes as Uint8Array;
  vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: ram });
  vcpu = vm.createPowerVcpu(0);
  vcpu.enablePapr();
  vcpu.getRegs();
  for (const nr of [H_PAGE_INIT, H_SET_MODE, H_RPT_INVALIDATE, 0x300, 0x3c, 0x40, 0x10]) {
    vm.enableCap(uapi.KVM_CAP_PPC_ENABLE_HCALL, [BigInt(nr), 1n]);
  }
  model = [...kvm.vms][0] as ModelVm;
});

/** What the guest gets, or H_TOO_HARD when user space is asked. */
function call(nr: number, ...args: (number | bigint)[]): number {
  engine.cpu.hypercall(nr, ...args);
  const reason = vcpu.run();
  if (reason === uapi.KVM_EXIT_PAPR_HCALL) return H_TOO_HARD;
  return Number(BigInt.asIntN(64, engine.cpu.gpr64[3] as bigint));
}
const area = (at: number, length: number, wide = false): void => {
  const view = new DataView(ram.buffer, ram.byteOffset);
  if (wide) view.setUint32(at + 4, length);
  else view.setUint16(at + 4, length);
};

describe("kvm POWER hypercalls: which are whose", () => {
  it("are in the kernel by default: no hash table for a radix guest, no watchpoints on POWER9", () => {
    for (const nr of [0x04, 0x08, 0x0c, 0x18, 0x124]) expect(call(nr)).toBe(H_FUNCTION);
    expect(call(0x28, 0x1000)).toBe(H_HARDWARE);
    expect(call(0x134, 0x1000, 0)).toBe(H_PARAMETER);
    expect(call(0x134, 0x1000, 16 | 1)).toBe(H_PARAMETER);
    expect(call(0x134, 0x1000, 3)).toBe(H_HARDWARE);
  });

  it("are user space's without a device in the kernel, or when not switched on", () => {
    for (const nr of [0x64, 0x68, 0x6c, 0x70, 0x74, 0x2fc, 0x58, 0xf000, 0x1c8, 0x37c])
      expect(call(nr)).toBe(H_TOO_HARD);
    expect(call(0x14)).toBe(H_TOO_HARD);
    expect(call(0x10)).toBe(H_FUNCTION);
    expect(() => vm.enableCap(uapi.KVM_CAP_PPC_ENABLE_HCALL, [0x58n, 1n])).toThrow();
  });

  it("are refused beyond the switchable ones: secure and nested guests", () => {
    for (const nr of [0xef00, 0xef04, 0xef08, 0xef0c, 0xef14]) expect(call(nr)).toBe(H_UNSUPPORTED);
    for (const nr of [0xf800, 0xf804, 0xf808, 0xf80c]) expect(call(nr)).toBe(H_FUNCTION);
    expect(vcpu.statistics()).toMatchObject({ hcall_virtual_other: 9 });
  });
});

describe("kvm POWER hypercalls: each one's rules", () => {
  it("H_REGISTER_VPA checks the area, and KVM keeps its yield count", () => {
    expect(call(H_REGISTER_VPA, vpa(1), 7, 0x1000)).toBe(H_PARAMETER);
    expect(call(H_REGISTER_VPA, vpa(2), 0, 0x1000)).toBe(H_PARAMETER);
    area(0x1000, 640);
    expect(call(H_REGISTER_VPA, vpa(1), 0, 0x1040)).toBe(H_PARAMETER);
    expect(call(H_REGISTER_VPA, vpa(1), 0, 0)).toBe(H_PARAMETER);
    expect(call(H_REGISTER_VPA, vpa(1), 0, 0x10_0000)).toBe(H_PARAMETER);
    area(0x2000, 639);
    expect(call(H_REGISTER_VPA, vpa(1), 0, 0x2000)).toBe(H_PARAMETER);
    area(0x3000, 96, true);
    expect(call(H_REGISTER_VPA, vpa(2), 0, 0x3000)).toBe(H_RESOURCE);
    expect(call(H_REGISTER_VPA, vpa(1), 0, 0x1000)).toBe(H_SUCCESS);
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_VPA_ADDR)).toBe(0x1000n);
    expect(call(H_REGISTER_VPA, vpa(2), 0, 0x3000)).toBe(H_SUCCESS);
    expect(call(H_REGISTER_VPA, vpa(3), 0, 0x3000)).toBe(H_SUCCESS);
    expect(vcpu.getOneReg(uapi.KVM_REG_PPC_VPA_DTL)).toBe((96n << 64n) | 0x3000n);
    expect(call(H_REGISTER_VPA, vpa(5), 0, 0)).toBe(H_RESOURCE);
    expect(call(H_REGISTER_VPA, vpa(6), 0, 0)).toBe(H_SUCCESS);
    expect(call(H_REGISTER_VPA, vpa(7), 0, 0)).toBe(H_SUCCESS);
    expect(call(H_REGISTER_VPA, vpa(4), 0, 0)).toBe(H_PARAMETER);
    const count = (): number => new DataView(ram.buffer, ram.byteOffset).getUint32(0x1100);
    expect(ram[0x1009]).toBe(2);
    expect(count() % 2).toBe(1);
    const before = count();
    vcpu.run();
    expect(count()).toBe(before + 2);
    expect(call(H_REGISTER_VPA, vpa(5), 0, 0)).toBe(H_SUCCESS);
    const last = count();
    vcpu.run();
    expect(count()).toBe(last);
  });

  it("areas are set by user space with the same order kept", () => {
    expect(() => vcpu.setOneReg(uapi.KVM_REG_PPC_VPA_SLB, 0x2000n)).toThrow();
    vcpu.setOneReg(uapi.KVM_REG_PPC_VPA_ADDR, 0x1000n);
    vcpu.setOneReg(uapi.KVM_REG_PPC_VPA_SLB, (64n << 64n) | 0x2000n);
    expect(() => vcpu.setOneReg(uapi.KVM_REG_PPC_VPA_ADDR, 0n)).toThrow();
    expect(() => vcpu.setOneReg(uapi.KVM_REG_PPC_VPA_DTL, (47n << 64n) | 0x3000n)).toThrow();
    expect(() => vcpu.setOneReg(uapi.KVM_REG_PPC_VPA_DTL, (96n << 64n) | 0x3001n)).toThrow();
  });

  it("H_SET_MODE answers what touches the CPU and leaves the rest to user space", () => {
    expect(call(H_SET_MODE, 0, 1, 0x1000, 1)).toBe(H_P4);
    expect(call(H_SET_MODE, 1, 1, 0x1000, 0)).toBe(H_UNSUPPORTED_FLAG);
    expect(call(H_SET_MODE, 0, 1, 0x1003, 0)).toBe(H_P3);
    expect(call(H_SET_MODE, 0, 1, 0x1001, 0)).toBe(H_SUCCESS);
    expect(engine.cpu.spr(187)).toBe(0x1001n);
    for (const resource of [2, 5]) expect(call(H_SET_MODE, 0, resource, 0, 0)).toBe(H_P2);
    for (const resource of [3, 4, 9]) expect(call(H_SET_MODE, 3, resource, 0, 0)).toBe(H_TOO_HARD);
  });

  it("H_PAGE_INIT clears and copies pages, but not the last of a slot", () => {
    const [zero, copy] = [1 << 15, 1 << 14];
    ram.fill(7, 0x1000, 0x2000);
    expect(call(H_PAGE_INIT, copy, 0x2000, 0x1000)).toBe(H_SUCCESS);
    expect(ram[0x2fff]).toBe(7);
    expect(call(H_PAGE_INIT, zero, 0x2000, 0)).toBe(H_SUCCESS);
    expect(ram[0x2000]).toBe(0);
    expect(call(H_PAGE_INIT, 0, 0x7000_0000, 0)).toBe(H_SUCCESS);
    expect(call(H_PAGE_INIT, zero, 0x7000_0000, 0)).toBe(H_PARAMETER);
    expect(call(H_PAGE_INIT, zero, 0x2008, 0)).toBe(H_PARAMETER);
    expect(call(H_PAGE_INIT, copy, 0x2000, 8)).toBe(H_PARAMETER);
    expect(call(H_PAGE_INIT, copy, 0x2000, 4 * PAGE - 4096)).toBe(H_PARAMETER);
    expect(call(H_PAGE_INIT, 1, 0x2000, 0)).toBe(H_PARAMETER);
  });

  it("H_PROD and H_CONFER know the VM's vCPUs", () => {
    expect([call(0xe8, 0), call(0xe8, 1)]).toEqual([H_SUCCESS, H_PARAMETER]);
    expect([call(0xe4, -1, 0), call(0xe4, 0, 0), call(0xe4, 3, 0)]).toEqual([H_SUCCESS, H_SUCCESS, H_PARAMETER]);
  });

  it("H_LOGICAL_CI_STORE may ring a doorbell; loads are user space's", () => {
    expect(call(0x3c, 4, 0x3000)).toBe(H_TOO_HARD);
    expect(call(0x40, 4, 0x3000, 1)).toBe(H_TOO_HARD);
    const fd = host.eventfd(0, 0);
    // The value is in the guest's big-endian order.
    vm.assignIoEventFd({ fd, address: 0x3000n, length: 2, match: 0x3412n });
    expect(call(0x40, 2, 0x3000, 0x1234)).toBe(H_SUCCESS);
    expect(call(0x40, 2, 0x3000, 0x3412)).toBe(H_TOO_HARD);
    expect(call(0x40, 3, 0x3000, 0x1234)).toBe(H_TOO_HARD);
    expect(host.read(fd, new Uint8Array(8))).toBe(8);
  });

  it("H_RPT_INVALIDATE flushes, H_RANDOM gives numbers", () => {
    expect(call(H_RPT_INVALIDATE, 1, 1, 2, 0, 0x2000, 0x1000)).toBe(H_P5);
    expect(call(H_RPT_INVALIDATE, 1, 1, 1, 0, 0, 1n << 40n)).toBe(H_FUNCTION);
    expect(call(H_RPT_INVALIDATE, 1, 1, 2, 0, 0, 1n << 40n)).toBe(H_SUCCESS);
    expect(engine.cpu.flushes).toBe(1);
    const numbers = new Set<bigint>();
    for (let n = 0; n < 4; n++) {
      expect(call(0x300)).toBe(H_SUCCESS);
      numbers.add(engine.cpu.gpr64[4] as bigint);
    }
    expect(numbers.size).toBe(4);
  });

  it("of later kernels are unknown to an older one", () => {
    const old = new ModelKvm(new ModelKernel({ arch: "ppc64le", profile: "4.12" }));
    installPowerKvm(old, (memory) => new ScriptedEngine(memory));
    const machine = uapi.KvmSystem.open(old.kernel.spawn()).createVm();
    expect(machine.checkExtension(uapi.KVM_CAP_PPC_AIL_MODE_3)).toBe(0);
    expect(() => machine.enableCap(uapi.KVM_CAP_PPC_ENABLE_HCALL, [BigInt(H_RPT_INVALIDATE), 1n])).toThrow();
    expect(machine.checkExtension(uapi.KVM_CAP_PPC_MMU_RADIX)).toBe(1);
  });

  it("are asked without a guest, too, for those who have none", () => {
    expect(model.hypercall(0xe8, 0).result).toBe(H_SUCCESS);
    expect(model.hypercall(0xe0).result).toBe(H_SUCCESS);
  });
});
