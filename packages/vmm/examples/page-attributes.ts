// What a guest gets for the memory type that it asks for, and what a VM will have locked, before any VM is made.
import { modelHost } from "@minivmm/model-host";
import {
  effectiveType,
  kernelRelease,
  predictLockedMemory,
  requestsOf,
  surveyContainers,
} from "@minivmm/vmm/attributes";

// A BAR on Intel under KVM, where a device's DMA may bypass the caches.
const cpu = { vendor: "intel", kvm: { rules: "6.12", nonCoherent: true } } as const;
for (const request of requestsOf(cpu.vendor)) {
  const bar = effectiveType(cpu, { memory: "bar", access: "mapped" }, request);
  const ram = effectiveType(cpu, { memory: "ram", access: "mapped" }, request);
  console.log(`${request}: BAR ${bar}, RAM ${ram}`);
}

using machine = modelHost("power9");
const host = machine.spawn();
const prediction = predictLockedMemory({
  machine: "pseries",
  memoryBytes: 512 * 2 ** 20,
  pageSize: host.pageSize,
  dmaWindowBytes: 2 ** 30,
  ddw: true,
  kvm: null,
  vfioAccel: true,
  vioWindows: [],
  containers: surveyContainers(host, [{ driver: "vfio-pci", host: "0001:01:00.0" }]),
  kernel: kernelRelease(host),
});
for (const { what, bytes } of prediction.start) console.log(`${bytes / 2 ** 20} MiB: ${what}`);
console.log(`need ${prediction.needBytes}, at most ${prediction.worstBytes}`);
