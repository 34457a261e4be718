// A worker thread that runs a vCPU by its descriptor, says who it is before and what KVM_RUN gave after. On built packages.
import { parentPort, workerData } from "node:worker_threads";
import { realHost } from "@minivmm/host";
import { KvmVcpu } from "@minivmm/kvm";

const host = realHost();
const { fd, id, runPageBytes } = workerData;
const vcpu = KvmVcpu.adopt(host, fd, id, runPageBytes);
parentPort.on("message", () => {
  const reason = vcpu.run();
  vcpu.immediateExit = false;
  parentPort.postMessage(reason);
});
parentPort.postMessage(host.threads.current());
