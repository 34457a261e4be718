// A TCE table in KVM on a small modelled kernel: the guest fills it by hypercalls, user space only looks.
import { ModelKernel } from "@minivmm/host/model";
import { H_PUT_TCE, H_STUFF_TCE, KVM_CAP_PPC_ENABLE_HCALL, KvmSystem } from "@minivmm/kvm";
import { ModelKvm, type ModelVm } from "@minivmm/kvm/model";
import { KvmSpaprTce } from "@minivmm/spapr-iommu";
import { installKvmSpaprTce } from "@minivmm/spapr-iommu/model";

// The kernel's side: KVM with sPAPR TCE.
const kernel = new ModelKernel({ arch: "ppc64le" });
const kvm = new ModelKvm(kernel);
const tce = installKvmSpaprTce(kvm);

// The user's side, the same as on a real POWER host.
const process = kernel.spawn();
const vm = KvmSystem.open(process).createVm();
vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: new Uint8Array(0x100000) });
vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(H_STUFF_TCE), 1n]);
const table = KvmSpaprTce.create(vm, { liobn: 0x80000000, size: 1n << 30n });

// A guest maps its page 0x5000 at bus address 0x1000, and clears the window.
const guest = [...kvm.vms][0] as ModelVm;
guest.hypercall(H_PUT_TCE, 0x80000000, 0x1000, 0x5003);
console.log(`entry 1: 0x${table.entry(1).toString(16)}`);
console.log("outside of memory:", guest.hypercall(H_PUT_TCE, 0x80000000, 0x1000, 0x7000_0003).result, "(too hard)");
guest.hypercall(H_STUFF_TCE, 0x80000000, 0, 0, 512);
console.log(`entry 1: 0x${table.entry(1).toString(16)}`);
const { stages, reasons } = tce.counters(guest);
console.log(stages.virtual.H_PUT_TCE, `left to user space because of its address: ${reasons.outsideMemory}`);
process.exit();
