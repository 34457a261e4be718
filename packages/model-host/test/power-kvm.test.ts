// Guests in the modelled KVM with the real CPU: assembled programs, RAM in place and elsewhere, several vCPUs.
import { EINTR, MAP_ANONYMOUS, MAP_PRIVATE, type Mapping, PROT_READ, PROT_WRITE } from "@minivmm/host";
import {
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_MMIO,
  KVM_EXIT_PAPR_HCALL,
  KVM_REG_PPC_IC,
  type KvmPowerVcpu,
  KvmSystem,
  type KvmVm,
  kvmRequests,
} from "@minivmm/kvm";
import { allocateGuestRam } from "@minivmm/ppc64";
import { Assembler, r3, r4, r5, r6 } from "@minivmm/ppc64/asm";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ModelledHost, modelHost } from "../src/index.ts";

const MIB = 0x10_0000;
const CODE = 0x1_0000;
const DATA = 0x8_0000;
const MSR = 0x8000000000000001n;
const ASK = 0xf000;
const NOWHERE = 0x2000_8000_0000n;

let model: ModelledHost;
let host: ReturnType<ModelledHost["spawn"]>;
let vm: KvmVm;
beforeEach(() => {
  model = modelHost("power9");
  host = model.spawn();
  vm = KvmSystem.open(host).createVm();
});
afterEach(() => model.close());

/** RAM that the CPU can work on in place, or that it cannot. */
function memory(kind: "in place" | "elsewhere", bytes = MIB): Uint8Array {
  if (kind === "in place") {
    const ram = allocateGuestRam({ ramBytes: bytes, framePages: 64, decodePages: 64 });
    return new Uint8Array(ram.memory.buffer, ram.ramOffset, bytes);
  }
  const mapping = host.mmap({ length: bytes, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  return (mapping as Mapping).bytes as Uint8Array;
}

function load(ram: Uint8Array, at: number, write: (a: Assembler) => void, origin = at): void {
  const a = new Assembler({ origin });
  write(a);
  ram.set(a.bytes(), at);
}

function vcpuAt(pc: number, id = 0): KvmPowerVcpu {
  const vcpu = vm.createPowerVcpu(id);
  vcpu.enablePapr();
  vcpu.setRegs({ pc: BigInt(pc), msr: MSR });
  return vcpu;
}

/** Runs over slices of instructions to the next exit. */
function exitOf(vcpu: KvmPowerVcpu): number {
  for (;;) {
    const reason = vcpu.run();
    if (reason !== -EINTR) return reason;
  }
}

/** Takes the results of a hypercall, so that registers set from now on stay. */
function settle(vcpu: KvmPowerVcpu): void {
  vcpu.immediateExit = true;
  expect(vcpu.run()).toBe(-EINTR);
  vcpu.immediateExit = false;
}

const ask = (a: Assembler): void => {
  a.li64(r3, ASK);
  a.sc(1);
};

describe("model-host KVM: guest memory", () => {
  for (const kind of ["in place", "elsewhere"] as const) {
    it(`runs a program in RAM ${kind}, and both sides see one memory`, () => {
      const ram = memory(kind);
      vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: ram });
      load(ram, CODE, (a) => {
        a.li64(r4, DATA);
        a.li(r5, 0);
        a.li64(r6, 1000);
        a.mtctr(r6);
        a.label("again");
        a.addi(r5, r5, 3);
        a.bdnz("again");
        a.std(r5, 0, r4);
        ask(a);
        a.lwz(r5, 8, r4);
        ask(a);
      });
      const vcpu = vcpuAt(CODE);
      expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
      const view = new DataView(ram.buffer, ram.byteOffset);
      expect(view.getUint32(DATA, true)).toBe(3000);
      view.setUint32(DATA + 8, 4711, true);
      expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
      expect(vcpu.getRegs().gpr[5]).toBe(4711n);
      expect(Number(vcpu.getOneReg(KVM_REG_PPC_IC))).toBeGreaterThan(2000);
    });
  }

  it("is what the slots say: outside is a device, moved slots move", () => {
    const ram = memory("in place");
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: ram.subarray(0, MIB / 2) });
    load(ram, CODE, (a) => {
      a.li64(r4, MIB / 2);
      a.lwz(r5, 0, r4);
      a.lwz(r6, 0, r4);
      ask(a);
    });
    const vcpu = vcpuAt(CODE);
    expect(exitOf(vcpu)).toBe(KVM_EXIT_MMIO);
    vcpu.mmioExit().data.set([9, 0, 0, 0]);
    // The upper half of the same memory appears, and after it its first page again in another place.
    new DataView(ram.buffer, ram.byteOffset).setUint32(MIB / 2, 77, true);
    vm.setMemoryRegion({ slot: 1, guestAddress: BigInt(MIB / 2), memory: ram.subarray(MIB / 2) });
    expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
    expect(vcpu.getRegs().gpr.slice(5, 7)).toEqual([9n, 77n]);
    settle(vcpu);
    vm.setMemoryRegion({ slot: 2, guestAddress: 0x4000_0000n, memory: ram.subarray(0, 0x2_0000) });
    load(ram, CODE, (a) => {
      a.li64(r4, 0x4000_0000 + CODE);
      a.lwz(r5, 0, r4);
      ask(a);
    });
    vcpu.setRegs({ pc: BigInt(CODE), msr: MSR });
    expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
    expect(vcpu.getRegs().gpr[5]).toBe(BigInt(new DataView(ram.buffer, ram.byteOffset).getUint32(CODE, true)));
    settle(vcpu);
    vm.setMemoryRegion({ slot: 2, guestAddress: 0x5000_0000n, memory: ram.subarray(0, 0x2_0000) });
    vcpu.setRegs({ pc: BigInt(CODE), msr: MSR });
    expect(exitOf(vcpu)).toBe(KVM_EXIT_MMIO);
  });

  it("may lie under two vCPUs of one VM, which see each other's stores", () => {
    const ram = memory("in place");
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: ram });
    load(ram, CODE, (a) => {
      a.li64(r4, DATA);
      a.label("again");
      a.lwarx(r5, 0, r4);
      a.addi(r5, r5, 1);
      a.stwcx_(r5, 0, r4);
      a.bne("again");
      ask(a);
      a.b("again");
    });
    const vcpus = [vcpuAt(CODE, 0), vcpuAt(CODE, 1), vcpuAt(CODE, 7)];
    for (let round = 1; round <= 4; round++) {
      for (const [n, vcpu] of vcpus.entries()) {
        expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
        settle(vcpu);
        expect(new DataView(ram.buffer, ram.byteOffset).getUint32(DATA, true)).toBe((round - 1) * 3 + n + 1);
      }
    }
  });

  it("cannot be the CPU's own state, whatever a slot says", () => {
    const guest = allocateGuestRam({ ramBytes: MIB, framePages: 64, decodePages: 64 });
    const whole = new Uint8Array(guest.memory.buffer, 0, MIB);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: whole });
    load(whole, CODE, (a) => {
      a.li64(r4, 8 * 31);
      a.li(r5, 5);
      a.std(r5, 0, r4);
      ask(a);
    });
    const vcpu = vcpuAt(CODE);
    expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
    expect(vcpu.getRegs().gpr[31]).toBe(0n);
  });

  it("does what memory does wherever its slots lie", () => {
    const store = fc.record({ at: fc.nat(MIB - 9), value: fc.bigInt(0n, 2n ** 64n - 1n) });
    fc.assert(
      fc.property(fc.array(store, { maxLength: 20 }), fc.boolean(), fc.nat(14), (stores, inPlace, split) => {
        using own = modelHost("power9");
        host = own.spawn();
        vm = KvmSystem.open(host).createVm();
        const cut = (split + 1) * 0x1_0000;
        const low = memory(inPlace ? "in place" : "elsewhere", MIB);
        const high = memory("elsewhere", MIB);
        const code = memory("elsewhere", 0x1_0000);
        vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: low.subarray(0, cut) });
        vm.setMemoryRegion({ slot: 1, guestAddress: BigInt(cut), memory: high.subarray(cut) });
        vm.setMemoryRegion({ slot: 2, guestAddress: 0x1000_0000n, memory: code });
        const body = (a: Assembler): void => {
          a.std(r5, 0, r4);
          a.ldbrx(r6, 0, r4);
          ask(a);
        };
        load(code, 0, body, 0x1000_0000);
        const expected = new Uint8Array(MIB);
        const view = new DataView(expected.buffer);
        const vcpu = vcpuAt(0x1000_0000);
        for (const { at, value } of stores) {
          const gpr = new Array<bigint>(32).fill(0n);
          gpr[4] = BigInt(at);
          gpr[5] = value;
          vcpu.setRegs({ pc: 0x1000_0000n, msr: MSR, gpr });
          expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
          settle(vcpu);
          view.setBigUint64(at, value, true);
          expect(vcpu.getRegs().gpr[6]).toBe(view.getBigUint64(at));
        }
        const seen = new Uint8Array(MIB);
        seen.set(low.subarray(0, cut));
        seen.set(high.subarray(cut), cut);
        expect(Buffer.compare(seen, expected)).toBe(0);
      }),
      { numRuns: 15 },
    );
  });
});

describe("model-host KVM: exits", () => {
  it("are device accesses of every width, sign and byte order", () => {
    const ram = memory("in place");
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: ram });
    load(ram, CODE, (a) => {
      a.li64(r4, NOWHERE);
      a.lha(r5, 2, r4);
      a.lwbrx(r6, 0, r4);
      a.ldu(r3, 8, r4);
      a.sth(r5, 2, r4);
      a.stdbrx(r6, 0, r4);
      ask(a);
    });
    const vcpu = vcpuAt(CODE);
    const load8 = (bytes: number[], at: bigint): void => {
      expect(exitOf(vcpu)).toBe(KVM_EXIT_MMIO);
      const exit = vcpu.mmioExit();
      expect([exit.write, exit.address, exit.length]).toEqual([false, at, bytes.length]);
      exit.data.set(bytes);
    };
    load8([0xfe, 0xff], NOWHERE + 2n);
    load8([1, 2, 3, 4], NOWHERE);
    load8([1, 2, 3, 4, 5, 6, 7, 8], NOWHERE + 8n);
    const stored = (at: bigint): number[] => {
      expect(exitOf(vcpu)).toBe(KVM_EXIT_MMIO);
      const exit = vcpu.mmioExit();
      expect([exit.write, exit.address]).toEqual([true, at]);
      return [...exit.data.subarray(0, exit.length)];
    };
    expect(stored(NOWHERE + 10n)).toEqual([0xfe, 0xff]);
    expect(stored(NOWHERE + 8n)).toEqual([0, 0, 0, 0, 1, 2, 3, 4]);
    exitOf(vcpu);
    const { gpr } = vcpu.getRegs();
    expect(gpr.slice(4, 7)).toEqual([NOWHERE + 8n, 2n ** 64n - 2n, 0x01020304n]);
  });

  it("are an error where nothing can be fetched, with a line in the kernel's log", () => {
    const vcpu = vcpuAt(0x100);
    expect(exitOf(vcpu)).toBe(KVM_EXIT_INTERNAL_ERROR);
    expect(model.kernel.log.at(-1)).toContain("outside of RAM");
  });

  it("sleep in H_CEDE until an interrupt", async () => {
    const ram = memory("in place");
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: ram });
    load(ram, 0x500, (a) => {
      a.li64(r3, ASK + 4);
      a.sc(1);
    });
    load(ram, CODE, (a) => {
      a.li64(r5, 0x7fff_ffff);
      a.mtspr(22, r5);
      a.label("again");
      a.li(r3, 0xe0);
      a.sc(1);
      a.b("again");
    });
    const vcpu = vcpuAt(CODE);
    expect(vcpu.run()).toBe(-EINTR);
    let told = false;
    const watch = host.watch(vcpu.fd, () => {
      told = true;
    });
    await Promise.resolve();
    expect(told).toBe(false);
    vcpu.setExternalInterrupt(true);
    expect(told).toBe(true);
    watch.close();
    expect(exitOf(vcpu)).toBe(KVM_EXIT_PAPR_HCALL);
    expect(vcpu.hypercall()[6]).toBe(ASK + 4);
  });
});

describe("model-host KVM: hosts", () => {
  it("only a POWER9 runs guests", () => {
    for (const [name, vcpus] of [
      ["power9", 2048],
      ["powernv9", 2048],
      ["powernv8", 0],
      ["powernv10", 0],
      ["desktop", 0],
    ] as const) {
      using each = modelHost(name);
      expect(KvmSystem.open(each.spawn()).checkExtension(66)).toBe(vcpus);
    }
  });

  it("any order of requests on a VM and a vCPU with the real CPU gives numbers", () => {
    const R = kvmRequests("ppc64le");
    const request = fc.record({
      fd: fc.integer({ min: 3, max: 5 }),
      request: fc.constantFrom(...Object.values(R)),
      arg: fc.oneof(fc.nat(4), fc.uint8Array({ minLength: 32, maxLength: 1300 })),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 25 }), (requests) => {
        using own = modelHost("power9");
        const process = own.spawn();
        const machine = KvmSystem.open(process).createVm();
        machine.createPowerVcpu(0).enablePapr();
        for (const { fd, request, arg } of requests)
          expect(Number.isInteger(process.ioctl(fd, request, arg))).toBe(true);
        process.exit();
        expect(own.kvm.vms.size).toBe(0);
      }),
      { numRuns: 25 },
    );
  });
});
