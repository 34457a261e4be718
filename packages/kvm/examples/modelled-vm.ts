// A VM on a modelled kernel: memory, a message interrupt by eventfd, and a doorbell.
// With realHost() in place of the modelled process the same calls reach this machine's /dev/kvm.
import { ModelKernel } from "@minivmm/host/model";
import { KvmSystem } from "@minivmm/kvm";
import { ModelKvm } from "@minivmm/kvm/model";

const kvm = new ModelKvm(new ModelKernel({ arch: "x86_64" }));
const host = kvm.kernel.spawn();

using system = KvmSystem.open(host);
using vm = system.createVm();
vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: new Uint8Array(new SharedArrayBuffer(1 << 20)) });
vm.createIrqchip();
vm.setGsiRouting([{ kind: "msi", gsi: 24, addressHi: 0, addressLo: 0xfee0_0000, data: 0x41 }]);

const model = [...kvm.vms][0];
const message = (_hi: number, lo: number, data: number) => {
  console.log(`message ${data.toString(16)} to ${lo.toString(16)}`);
  return true;
};
if (model) model.interrupts = { pulse: () => {}, level: () => {}, message };
const event = host.eventfd(0, 0);
vm.assignIrqFd({ fd: event, gsi: 24 });
host.write(event, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));

const doorbell = host.eventfd(0, 0);
vm.assignIoEventFd({ fd: doorbell, address: 0xfee0_1000n, length: 4 });
console.log("doorbell taken:", model?.ioeventfds.write(false, 0xfee0_1000n, 4, 1n));
host.exit();
console.log("VMs left:", kvm.vms.size);
