// The client against this machine's /dev/kvm: a 16-bit guest program, port and memory exits, irqfd and doorbells.
import { EEXIST, MAP_ANONYMOUS, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE, realHost } from "@minivmm/host";
import { afterEach, describe, expect, it } from "vitest";
import {
  KVM_CAP_IRQFD,
  KVM_CAP_USER_MEMORY,
  KVM_DEV_TYPE_VFIO,
  KVM_EXIT_HLT,
  KVM_EXIT_IO,
  KVM_EXIT_MMIO,
  KvmSystem,
  type KvmVcpu,
} from "../../src/index.ts";

const host = realHost();
const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});
const keep = <T extends { close(): unknown }>(thing: T): T => {
  open.push(thing);
  return thing;
};

/** A VM with one page of RAM at 0x1000 that holds `code`, and a vCPU in real mode at its start. */
function realModeGuest(code: number[]): { vm: ReturnType<KvmSystem["createVm"]>; vcpu: KvmVcpu; ram: Uint8Array } {
  const system = keep(KvmSystem.open(host));
  const ram = keep(
    host.mmap({ length: 4096, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED | MAP_ANONYMOUS }) as Mapping,
  );
  const bytes = ram.bytes as Uint8Array;
  bytes.set(code);
  const vm = keep(system.createVm());
  vm.setMemoryRegion({ slot: 0, guestAddress: 0x1000n, memory: bytes });
  const vcpu = keep(vm.createVcpu(0));
  const sregs = vcpu.getSregs();
  vcpu.setSregs({ ...sregs, cs: { ...sregs.cs, base: 0n, selector: 0 } });
  vcpu.setRegs({ rip: 0x1000n, rflags: 2n });
  return { vm, vcpu, ram: bytes };
}

describe("kvm client on /dev/kvm", () => {
  it("reads the version and capabilities", () => {
    const system = keep(KvmSystem.open(host));
    expect(system.checkExtension(KVM_CAP_USER_MEMORY)).toBeGreaterThan(0);
    expect(system.checkExtension(KVM_CAP_IRQFD)).toBeGreaterThan(0);
    expect(system.vcpuMmapSize()).toBeGreaterThanOrEqual(4096);
  });

  it("runs a guest that writes a port, reads one back, and halts", () => {
    // mov dx,0x3f8; mov al,'A'; out dx,al; in al,dx; mov [0x1100],al; hlt
    const { vcpu, ram } = realModeGuest([0xba, 0xf8, 0x03, 0xb0, 0x41, 0xee, 0xec, 0xa2, 0x00, 0x11, 0xf4]);
    expect(vcpu.run()).toBe(KVM_EXIT_IO);
    const out = vcpu.portExit();
    expect([out.out, out.port, out.width, out.count, [...out.data]]).toEqual([true, 0x3f8, 1, 1, [0x41]]);
    expect(vcpu.run()).toBe(KVM_EXIT_IO);
    const input = vcpu.portExit();
    expect(input.out).toBe(false);
    input.data[0] = 0x5a;
    expect(vcpu.run()).toBe(KVM_EXIT_HLT);
    expect(ram[0x100]).toBe(0x5a);
    expect(vcpu.getRegs().rax & 0xffn).toBe(0x5an);
  });

  it("reports a write to memory that no slot holds", () => {
    // mov byte [0x8000],0x42; hlt
    const { vcpu } = realModeGuest([0xc6, 0x06, 0x00, 0x80, 0x42, 0xf4]);
    expect(vcpu.run()).toBe(KVM_EXIT_MMIO);
    const exit = vcpu.mmioExit();
    expect([exit.write, exit.address, exit.length, exit.data[0]]).toEqual([true, 0x8000n, 1, 0x42]);
    expect(vcpu.run()).toBe(KVM_EXIT_HLT);
  });

  it("turns a port write into an eventfd signal without an exit", () => {
    // mov dx,0x500; mov al,7; out dx,al; hlt
    const { vm, vcpu } = realModeGuest([0xba, 0x00, 0x05, 0xb0, 0x07, 0xee, 0xf4]);
    const event = host.eventfd(0, 0o4000);
    const doorbell = { fd: event, address: 0x500n, length: 1 as const, match: 7n, port: true };
    vm.assignIoEventFd(doorbell);
    expect(() => vm.assignIoEventFd(doorbell)).toThrow(expect.objectContaining({ errno: EEXIST }));
    expect(vcpu.run()).toBe(KVM_EXIT_HLT);
    expect(host.read(event, new Uint8Array(8))).toBe(8);
    vm.deassignIoEventFd(doorbell);
    host.close(event);
  });

  it("assigns irqfds once there is an interrupt controller, and knows the VFIO device type", () => {
    const vm = keep(keep(KvmSystem.open(host)).createVm());
    const event = host.eventfd(0, 0);
    expect(() => vm.assignIrqFd({ fd: event, gsi: 5 })).toThrow("KVM_IRQFD failed on fd");
    vm.createIrqchip();
    vm.assignIrqFd({ fd: event, gsi: 5 });
    expect(() => vm.assignIrqFd({ fd: event, gsi: 6 })).toThrow("EBUSY");
    vm.deassignIrqFd({ fd: event, gsi: 5 });
    host.close(event);
    expect(typeof vm.supportsDevice(KVM_DEV_TYPE_VFIO)).toBe("boolean");
  });
});
