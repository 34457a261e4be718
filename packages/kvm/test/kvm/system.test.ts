// What /dev/kvm says of itself, and what can be set on a VM and a vCPU before they run.
import { EBUSY, EINVAL } from "@minivmm/host";
import { Assembler } from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import {
  KVM_CAP_IRQFD,
  KVM_CAP_USER_MEMORY,
  KVM_DEV_TYPE_VFIO,
  KVM_MP_STATE_HALTED,
  KVM_MP_STATE_RUNNABLE,
  KvmError,
} from "../../src/index.ts";
import { X86Guest } from "../support/x86-guest.ts";

const MSR_PAT = 0x277;
const LAPIC_LVT0 = 0x350;
const KVM_DEV_VFIO_GROUP = 1;
const KVM_DEV_VFIO_GROUP_ADD = 1;

let guest: X86Guest;
afterEach(() => guest.close());

describe("kvm client on /dev/kvm: set-up", () => {
  it("reads versions, capabilities and what CPUID may say", () => {
    guest = new X86Guest(new Assembler(), { mode: 16 });
    const { system } = guest;
    expect(system.checkExtension(KVM_CAP_USER_MEMORY)).toBeGreaterThan(0);
    expect(system.checkExtension(KVM_CAP_IRQFD)).toBeGreaterThan(0);
    expect(system.vcpuMmapSize()).toBeGreaterThanOrEqual(4096);
    const leaf = system.supportedCpuid().find((entry) => entry.function === 0);
    const vendor = new Uint8Array(new Uint32Array([leaf!.ebx, leaf!.edx, leaf!.ecx]).buffer);
    expect(new TextDecoder().decode(vendor)).toMatch(/^[A-Za-z!]{12}$/);
  });

  it("sets KVM's own pages, interrupt controllers and timer before vCPUs", () => {
    const prepare = (vm: X86Guest["vm"]): void => {
      vm.setTssAddress(0xfffb_d000);
      vm.setIdentityMapAddress(0xfffb_c000);
      vm.createPit2();
    };
    guest = new X86Guest(new Assembler(), { mode: 16, irqchip: true, prepare });
    expect(() => guest.vm.setIdentityMapAddress(0xfffb_c000)).toThrow(expect.objectContaining({ errno: EINVAL }));
    expect(() => guest.vm.setTssAddress(0xffff_f000)).toThrow("KVM_SET_TSS_ADDR failed on address 0xfffff000: EINVAL");
  });

  it("sets MSRs and reads them back; names the one that there is not", () => {
    guest = new X86Guest(new Assembler(), { mode: 64 });
    const { vcpu } = guest;
    vcpu.setMsrs([{ index: MSR_PAT, data: 0x0007_0406_0001_0406n }]);
    expect(vcpu.getMsrs([MSR_PAT])).toEqual([0x0007_0406_0001_0406n]);
    const none = 0x4242_4242;
    const refusal = expect.objectContaining({
      code: "KVM_MSR",
      details: expect.objectContaining({ msr: "0x42424242" }),
    });
    expect(() =>
      vcpu.setMsrs([
        { index: MSR_PAT, data: 0n },
        { index: none, data: 1n },
      ]),
    ).toThrow(refusal);
    expect(() => vcpu.getMsrs([none])).toThrow(KvmError);
  });

  it("sets floating-point state, local APIC and run state, and reads them back", () => {
    guest = new X86Guest(new Assembler(), { mode: 64, irqchip: true });
    const { vcpu } = guest;
    const xmm = Uint8Array.from({ length: 256 }, (_, n) => n);
    vcpu.setFpu({ fcw: 0x27f, last_ip: 0x1234n, xmm });
    const fpu = vcpu.getFpu();
    expect([fpu.fcw, fpu.last_ip, fpu.xmm]).toEqual([0x27f, 0x1234n, xmm]);
    const lapic = vcpu.getLapic();
    const registers = new DataView(lapic.buffer);
    registers.setUint32(LAPIC_LVT0, 0x0001_0700, true);
    vcpu.setLapic(lapic);
    expect(new DataView(vcpu.getLapic().buffer).getUint32(LAPIC_LVT0, true)).toBe(0x0001_0700);
    expect(vcpu.getMpState()).toBe(KVM_MP_STATE_RUNNABLE);
    vcpu.setMpState(KVM_MP_STATE_HALTED);
    expect(vcpu.getMpState()).toBe(KVM_MP_STATE_HALTED);
  });

  it("makes the VFIO device, once, which takes files of VFIO only", ({ skip }) => {
    guest = new X86Guest(new Assembler(), { mode: 16 });
    const { vm } = guest;
    if (!vm.supportsDevice(KVM_DEV_TYPE_VFIO)) skip("this kernel's KVM has no VFIO device");
    using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
    const attribute = { group: KVM_DEV_VFIO_GROUP, attr: KVM_DEV_VFIO_GROUP_ADD };
    expect(device.hasAttribute(attribute)).toBe(true);
    expect(device.hasAttribute({ ...attribute, attr: 9 })).toBe(false);
    const data = new Uint8Array(new SharedArrayBuffer(4));
    new DataView(data.buffer).setInt32(0, guest.eventfd(), true);
    expect(device.trySetAttribute({ ...attribute, data })).toBe(-EINVAL);
    expect(() => vm.createDevice(KVM_DEV_TYPE_VFIO)).toThrow(expect.objectContaining({ errno: EBUSY }));
  });
});
