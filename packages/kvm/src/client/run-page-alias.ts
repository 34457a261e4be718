// A vCPU's run page seen from another thread, which knows the vCPU's descriptor only: the way to get a thread out of
// KVM_RUN. Set `immediateExit`, then interrupt the thread (Host.threads): whether it is in the guest, asleep in KVM or only
// about to call KVM_RUN, it comes back with EINTR.
// Source: Documentation/virt/kvm/api.rst, struct kvm_run, immediate_exit.
// Invariant: the flag stays set until the thread of the vCPU clears it, which has then seen it.

import { ENODEV, errnoName, type Host, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { KvmError } from "../error.ts";
import { kvm_run_head } from "../uapi.ts";

export class RunPageAlias implements Disposable {
  readonly #mapping: Mapping;

  /** `fd` is the vCPU's descriptor, which stays its owner's. Throws KvmError KVM_RUN_PAGE. */
  constructor(host: Host, fd: number) {
    const page = host.mmap({ length: host.pageSize, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd });
    if (typeof page === "number") {
      throw new KvmError(`cannot map the run page behind descriptor ${fd}: ${errnoName(page)}`, {
        code: "KVM_RUN_PAGE",
        errno: page < 0 ? -page : ENODEV,
        details: { fd },
        hint: "The descriptor has to be an open vCPU of this process.",
      });
    }
    this.#mapping = page;
  }

  set immediateExit(on: boolean) {
    this.#mapping.store(kvm_run_head.offsets.immediate_exit, 1, on ? 1 : 0);
  }

  close(): void {
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
