// `minivmm doctor` and KVM: on x86 there is no guest without it, and the remedy fits what is missing.
import { EBUSY, ENOTTY, type Host } from "@minivmm/host";
import { kvmRequests } from "@minivmm/kvm";
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { describe, expect, it } from "vitest";
import { examineHost } from "../src/host/checks/index.ts";

const kvmOf = (model: ModelledHost, host: Host = model.spawn()) =>
  examineHost(host, 512 * 2 ** 20, null).find(({ id }) => id === "kvm");

/** The node, which is gone. */
function takeKvm({ kernel }: ModelledHost) {
  const node = kernel.nodes.get("/dev/kvm");
  if (node === undefined) throw new Error("there is no /dev/kvm");
  kernel.nodes.delete("/dev/kvm");
  return node;
}

describe("cli doctor: KVM", () => {
  it("is content with a KVM that makes VMs, and keeps none", () => {
    using model = modelHost("desktop");
    expect(kvmOf(model)).toMatchObject({ status: "PASS", details: { openable: true, usable: true } });
    expect(model.kvm.vms.size).toBe(0);
  });

  it("tells a user without the right to which group has it", () => {
    using model = modelHost("desktop");
    model.kernel.registerNode("/dev/kvm", takeKvm(model).open, 0o600);
    const result = kvmOf(model, model.spawn({ root: false }));
    expect(result).toMatchObject({
      status: "FAIL",
      remedy: expect.stringMatching(/^join its group: usermod -a -G kvm/),
    });
  });

  it.each([
    ["flags\t\t: fpu vme vmx ept", /^load KVM: modprobe kvm_intel$/],
    ["flags\t\t: fpu svm npt", /^load KVM: modprobe kvm_amd$/],
    ["flags\t\t: fpu hypervisor", /^this machine is a VM itself: .*nested=1/],
    ["flags\t\t: fpu", /^turn virtualization \(VT-x, SVM\) on in the firmware/],
  ])("without KVM on a processor with %j no x86 guest runs, and the remedy fits", (cpuinfo, remedy) => {
    using model = modelHost("desktop");
    takeKvm(model);
    model.kernel.sysfs.file("/proc/cpuinfo", { read: () => `processor\t: 0\n${cpuinfo}\nbugs\t\t: none\n` });
    expect(kvmOf(model)).toMatchObject({
      status: "FAIL",
      message: "/dev/kvm cannot be opened (ENOENT): machine pc runs in KVM only",
      remedy: expect.stringMatching(remedy),
      details: { openable: false, usable: false, errno: 2 },
    });
  });

  it("without KVM on POWER guests run in software, which is a warning", () => {
    using model = modelHost("power9");
    takeKvm(model);
    expect(kvmOf(model)).toMatchObject({ status: "WARN", message: expect.stringContaining("guests run in software") });
  });

  it("KVM that makes no VM because another hypervisor has the processor is no KVM", () => {
    using model = modelHost("desktop");
    const node = takeKvm(model);
    const taken: typeof node.open = (...args) => {
      const file = node.open(...args);
      if (typeof file === "number") return file;
      return {
        ...file,
        ioctl: (call) =>
          call.request === kvmRequests("x86_64").KVM_CREATE_VM ? -EBUSY : (file.ioctl?.(call) ?? -ENOTTY),
      };
    };
    model.kernel.registerNode("/dev/kvm", taken, 0o666);
    expect(kvmOf(model)).toMatchObject({
      status: "FAIL",
      message: "/dev/kvm makes no VM (EBUSY): machine pc runs in KVM only",
      remedy: expect.stringMatching(/^another hypervisor has the processor/),
      details: { openable: true, usable: false },
    });
  });
});
