// May this user have VMs in KVM? A VM is made and closed again: the node can be there while another hypervisor has the
// processor. Machine pc has no other CPU, so on x86 a VM without KVM does not start; machine pseries has one in software.
// Source: Documentation/virt/kvm/api.rst; the processor's flags of /proc/cpuinfo (vmx, svm; hypervisor: this is a guest).
import { EACCES, EBUSY, EPERM, errnoName, type Host } from "@minivmm/host";
import { KvmError, KvmSystem } from "@minivmm/kvm";
import { textFile } from "@minivmm/pci-hotreset";
import { type CheckResult, type Examination, fail, pass, warn } from "./check.ts";

const NODE = "/dev/kvm";

export function checkKvm({ host }: Examination): CheckResult {
  let openable = false;
  try {
    using system = KvmSystem.open(host);
    openable = true;
    system.createVm().close();
    return pass("kvm", `${NODE} can be opened and makes VMs`, { openable, usable: true });
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    const details = { openable, usable: false, errno: error.errno ?? null };
    const said = error.errno === undefined ? error.message : errnoName(error.errno);
    const what = openable ? `${NODE} makes no VM` : `${NODE} cannot be opened`;
    const remedy = openable ? busy(error) : closed(host, error);
    // POWER's guests have another CPU.
    if (host.arch === "ppc64le") return warn("kvm", `${what} (${said}): guests run in software`, remedy, details);
    return fail("kvm", `${what} (${said}): machine pc runs in KVM only`, remedy, details);
  }
}

function closed(host: Host, { errno }: KvmError): string {
  if (errno === undefined) return `find out what that node is: ls -l ${NODE}`;
  if (errno === EACCES || errno === EPERM) return 'join its group: usermod -a -G kvm "$USER"';
  if (host.arch === "ppc64le") return "load KVM, on a bare machine: modprobe kvm_hv";
  const flags = new Set(
    /^flags\s*:(.*)$/m
      .exec(textFile(host, "/proc/cpuinfo") ?? "")?.[1]
      ?.trim()
      .split(/\s+/),
  );
  if (flags.has("vmx")) return "load KVM: modprobe kvm_intel";
  if (flags.has("svm")) return "load KVM: modprobe kvm_amd";
  if (flags.has("hypervisor")) {
    return "this machine is a VM itself: have its own host offer nested virtualization (kvm_intel or kvm_amd nested=1, -cpu host)";
  }
  return "turn virtualization (VT-x, SVM) on in the firmware and load KVM: modprobe kvm_intel or kvm_amd";
}

function busy({ errno }: KvmError): string {
  return errno === EBUSY
    ? "another hypervisor has the processor: end its VMs, or unload its modules"
    : "see what the kernel says about it: dmesg";
}
