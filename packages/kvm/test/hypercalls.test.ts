import { EINVAL } from "@minivmm/host";
import { ModelKernel } from "@minivmm/host/model";
import { describe, expect, it } from "vitest";
import { KVM_CAP_PPC_ENABLE_HCALL, KvmSystem } from "../src/index.ts";
import { H_TOO_HARD, ModelKvm, type ModelVm } from "../src/model/index.ts";

function made() {
  const kernel = new ModelKernel({ arch: "ppc64le" });
  const kvm = new ModelKvm(kernel);
  const seen: string[] = [];
  for (const [nr, enabled] of [
    [0x20, true],
    [0x138, false],
  ] as const) {
    kvm.hypercalls.set(nr, {
      enabled,
      handle: (_vm, gpr) => {
        seen.push(`${nr.toString(16)} ${gpr[8]} ${gpr[9]}`);
        gpr[8] = 7;
        return -4;
      },
    });
  }
  const vm = KvmSystem.open(kernel.spawn()).createVm();
  return { vm, model: [...kvm.vms][0] as ModelVm, seen };
}

describe("kvm: hypercalls", () => {
  it("go to their handler with registers in halves", () => {
    const { model, seen } = made();
    const { result, values } = model.hypercall(0x20, 0x1_0000_0002n);
    expect([result, values[0]]).toEqual([-4, 0x1_0000_0007n]);
    expect(seen).toEqual(["20 2 1"]);
  });

  it("are user space's when unknown, odd, beyond the last one, or off", () => {
    const { model } = made();
    for (const nr of [0x138, 0x1c, 0x21, 0x488, 0x48c, 0xf000, 0x1_0000_0020]) {
      expect(model.hypercall(nr, 5n)).toMatchObject({
        result: H_TOO_HARD,
        values: [5n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n],
      });
    }
  });

  it("are switched by KVM_CAP_PPC_ENABLE_HCALL", () => {
    const { vm, model } = made();
    expect(vm.checkExtension(KVM_CAP_PPC_ENABLE_HCALL)).toBe(1);
    vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [0x138n, 1n]);
    expect(model.hypercall(0x138).result).toBe(-4);
    vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [0x20n, 0n]);
    expect(model.hypercall(0x20).result).toBe(H_TOO_HARD);
    for (const args of [
      [0x9999n, 1n],
      [0x20n, 2n],
      [0x22n, 1n],
      [0x1cn, 1n],
      [1n << 40n, 1n],
    ]) {
      expect(() => vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, args)).toThrow(expect.objectContaining({ errno: EINVAL }));
    }
  });
});
