// Recorded cases of real 6.12 and 6.1 kernels with KVM and its VFIO device, played on the model.
import { kvm_create_device, kvm_device_attr, kvm_ioeventfd, kvm_irqfd, kvmRequests } from "@minivmm/kvm";
import { ModelKvm } from "@minivmm/kvm/model";
import { describe, expect, it } from "vitest";
import { COMMANDS, Player } from "../../vfio-core/test/replay/player.ts";
import { recordedCases } from "../../vfio-core/test/replay/recordings.ts";
import { rig } from "../../vfio-core/test/replay/rig.ts";
import { installKvmVfio } from "../src/model/index.ts";

for (const [name, request] of Object.entries(kvmRequests("x86_64"))) COMMANDS[name] = { request };
Object.assign(COMMANDS.KVM_CREATE_DEVICE!, { struct: kvm_create_device });
Object.assign(COMMANDS.KVM_IRQFD!, { struct: kvm_irqfd });
Object.assign(COMMANDS.KVM_IOEVENTFD!, { struct: kvm_ioeventfd });
for (const name of ["KVM_SET_DEVICE_ATTR", "KVM_GET_DEVICE_ATTR", "KVM_HAS_DEVICE_ATTR"]) {
  Object.assign(COMMANDS[name]!, { struct: kvm_device_attr });
}

describe.each(["6.12", "6.1"] as const)("kvm-device recordings of Linux %s", (kernel) => {
  const cases = recordedCases(new URL(`./recordings/x86-${kernel}.jsonl`, import.meta.url));
  it.each(cases.map((each) => [each.name, each] as const))("kvm-device: %s", (_name, each) => {
    const host = rig(kernel);
    installKvmVfio(new ModelKvm(host.kernel));
    const player = new Player(host);
    const differences: string[] = [];
    for (const step of each.steps) {
      const difference = player.play(step);
      if (difference) differences.push(`step ${step.step} ${JSON.stringify(step.do).slice(0, 200)}: ${difference}`);
    }
    expect(differences, differences.join("\n")).toEqual([]);
  });
});
