// Real mode on a modelled host: a guest under KVM_RUN whose TCEs compiled code writes, what its vCPU counts, who has it.
import { EINTR } from "@minivmm/host";
import {
  H_PUT_TCE,
  H_PUT_TCE_INDIRECT,
  H_STUFF_TCE,
  KVM_CAP_PPC_ENABLE_HCALL,
  KVM_EXIT_PAPR_HCALL,
  type KvmPowerVcpu,
  KvmSystem,
} from "@minivmm/kvm";
import { allocateGuestRam } from "@minivmm/ppc64";
import { Assembler, r3, r4, r5, r6, r7, r8 } from "@minivmm/ppc64/asm";
import { KvmSpaprTce } from "@minivmm/spapr-iommu";
import { describe, expect, it } from "vitest";
import { type ModelHostOptions, modelHost, modelHostDescription, parseModelSpec } from "../src/index.ts";

const MIB = 0x10_0000;
const CODE = 0x1_0000;
const LIST = 0x2_0000;
const LIOBN = 0x8000_0000;
const MSR = 0x8000000000000001n;
const ASK = 0xf000;

/** A VM with a table, and a guest that is told what to do. */
function guest(which: string, options: ModelHostOptions = {}) {
  const model = modelHost(which, options);
  const host = model.spawn();
  const vm = KvmSystem.open(host).createVm();
  const ram = allocateGuestRam({ ramBytes: MIB, framePages: 64, decodePages: 16 });
  const memory = new Uint8Array(ram.memory.buffer, ram.ramOffset, MIB);
  vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory });
  for (const nr of [H_STUFF_TCE, H_PUT_TCE_INDIRECT]) vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(nr), 1n]);
  const table = KvmSpaprTce.create(vm, { liobn: LIOBN, size: 1n << 28n });
  const vcpus: KvmPowerVcpu[] = [];
  let programs = 0;
  /** Runs one call in a loop on a vCPU, to its end; returns r3 after it. */
  const call = (times: number, nr: number, args: readonly (bigint | number)[], id = 0): bigint => {
    let vcpu = vcpus[id];
    if (!vcpu) {
      vcpu = vm.createPowerVcpu(id);
      vcpu.enablePapr();
      vcpus[id] = vcpu;
    }
    // Each program in a page of its own: nobody tells the CPU that code has changed.
    const origin = CODE + programs++ * 0x1000;
    const a = new Assembler({ origin });
    a.li(r8, times);
    a.mtctr(r8);
    a.label("again");
    a.li64(r3, nr);
    a.li64(r4, LIOBN);
    for (const [n, value] of args.entries()) a.li64([r5, r6, r7][n] as typeof r5, BigInt(value));
    a.sc(1);
    a.mr(r8, r3);
    a.bdnz("again");
    a.li64(r3, ASK);
    a.sc(1);
    memory.set(a.bytes(), origin);
    vcpu.setRegs({ pc: BigInt(origin), msr: MSR });
    for (;;) {
      const reason = vcpu.run();
      if (reason === -EINTR) continue;
      expect(reason).toBe(KVM_EXIT_PAPR_HCALL);
      // Register n is at 2n and 2n + 1.
      const registers = vcpu.hypercall();
      if (registers[6] === ASK) return vcpu.getRegs().gpr[8] as bigint;
    }
  };
  const stats = (id = 0) => (vcpus[id] as KvmPowerVcpu).statistics();
  return { model, vm, memory, table, call, stats };
}

describe("model-host real mode", () => {
  it("answers inside the CPU, for each vCPU, whose statistics say so", () => {
    const { model, call, stats, table } = guest("power9");
    // The table's page is made by virtual mode.
    call(1, H_PUT_TCE, [0, 0x3_0003]);
    const { sum_exits: before = 0 } = stats();
    expect(call(5000, H_PUT_TCE, [0x1000, 0x2_0003])).toBe(0n);
    expect(call(3, H_PUT_TCE, [0x800, 0x2_0003], 1)).toBe((1n << 64n) - 4n);
    expect(stats()).toMatchObject({ hcall_real_0x20: 5000, hcall_virtual_0x20: 1, hcall_user_other: 2 });
    // Slices of instructions and the end.
    expect((stats().sum_exits as number) - before).toBeLessThan(4);
    expect(stats(1)).toMatchObject({ hcall_real_0x20: 3 });
    expect(stats(1)).not.toHaveProperty("hcall_virtual_0x20");
    expect(table.entry(1)).toBe(0x2_0003n);
    model.close();
  });

  it("follows memory slots and switches between one KVM_RUN and the next", () => {
    const { model, vm, memory, call, stats, table } = guest("power9");
    call(1, H_PUT_TCE, [0, 0x3_0003]);
    new DataView(memory.buffer, memory.byteOffset).setBigUint64(LIST, 0x1_0000_0003n);
    const list = [0x1000, LIST, 1] as const;
    call(1, H_PUT_TCE_INDIRECT, list);
    expect(table.entry(1)).toBe(0n);
    vm.setMemoryRegion({ slot: 1, guestAddress: 1n << 32n, memory: new Uint8Array(0x1_0000) });
    expect(call(1, H_PUT_TCE_INDIRECT, list)).toBe(0n);
    expect(table.entry(1)).toBe(0x1_0000_0003n);
    vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(H_PUT_TCE_INDIRECT), 0n]);
    call(1, H_PUT_TCE_INDIRECT, list);
    expect(stats()).toMatchObject({ hcall_real_0x13c: 1, hcall_user_0x13c: 2 });
    model.close();
  });

  it.each([
    ["power9", {}, true],
    ["power9", { realMode: false }, false],
    ["power9", { profile: "6.1" }, true],
    ["powernv9", {}, false],
    ["powernv9", { profile: "4.12" }, true],
    ["powernv9", { profile: "4.12", realMode: false }, false],
    ["pseries-l1", { realMode: true }, true],
  ] as const)("%s with %j has it: %s", (which, options, expected) => {
    const model = modelHost(which, options);
    expect(model.kvm.realMode !== null).toBe(expected);
    model.close();
  });

  it("is an option of the text form and a field of a description", () => {
    expect(parseModelSpec("model:power9,realmode=off")).toEqual({ name: "power9", realMode: false });
    expect(parseModelSpec("powernv9,realmode=on")).toMatchObject({ realMode: true });
    expect(() => parseModelSpec("power9,realmode=maybe")).toThrow(/realmode/);
    expect(() => modelHost("desktop", { realMode: true })).toThrow(expect.objectContaining({ code: "MODEL_OPTION" }));
    expect(modelHostDescription("power9").realMode).toBe(true);
  });
});
