// Faults that can be asked for on a modelled host. Each names a function by its address; all take effect at once.
// Two more need no call: a DMA outside the windows freezes the PE where the description says so, and a process
// spawned with a low `memlock` meets -ENOMEM.
import { EBUSY, errnoName } from "@minivmm/host";
import type { PciFunction, PciTopology } from "@minivmm/pci";
import type { SpaprTceIommu } from "@minivmm/spapr-iommu/model";
import type { VfioCore } from "@minivmm/vfio-core/model";
import { ModelHostError } from "../error.ts";
import { LossyIrq } from "./lost-interrupts.ts";

export class Faults {
  readonly #topology: PciTopology;
  readonly #vfio: VfioCore;
  readonly #iommu: SpaprTceIommu | null;
  readonly #lossy = new Map<PciFunction, LossyIrq>();

  constructor(topology: PciTopology, vfio: VfioCore, iommu: SpaprTceIommu | null) {
    this.#topology = topology;
    this.#vfio = vfio;
    this.#iommu = iommu;
  }

  /** Isolates the function's PE, as after a DMA outside its windows: loads give ones, stores, DMA and messages are lost. */
  freezePe(bdf: string): void {
    const { group } = this.#find(bdf);
    if (!group || !this.#iommu) throw noSuchFault(bdf, "it is in no partitionable endpoint");
    this.#iommu.tableGroupOf(group).pe.freeze("a fault that was asked for");
  }

  /** Binds a host driver to the function, so that its IOMMU group is no longer viable. Throws MODEL_FAULT when it cannot be. */
  takeGroup(bdf: string, driver = "host-driver"): void {
    const fn = this.#find(bdf);
    // Unbinding a device in use would wait for its user.
    const inUse = (this.#vfio.device(fn.name)?.openCount ?? 0) > 0;
    if (fn.driver !== null && !inUse) this.#vfio.unbind(fn.name);
    const result = inUse ? -EBUSY : this.#vfio.bind(fn.name, driver);
    if (result < 0) {
      throw new ModelHostError(`${fn.name} cannot be bound to ${driver}: ${errnoName(-result)}`, {
        code: "MODEL_FAULT",
        errno: -result,
        details: { bdf: fn.name, driver },
        hint: "A group that VFIO has in use stays with VFIO; close it first.",
      });
    }
  }

  /** The next `count` interrupts of the function get lost. Returns a counter of how many were. */
  loseInterrupts(bdf: string, count = Number.POSITIVE_INFINITY): { readonly lost: number } {
    const fn = this.#find(bdf);
    const port = this.#lossy.get(fn) ?? new LossyIrq(fn.device);
    this.#lossy.set(fn, port);
    port.remaining = count;
    return port;
  }

  /** The function stops answering: configuration space and BARs read as ones, writes and DMA are lost. */
  silence(bdf: string, silent = true): void {
    this.#find(bdf).responding = !silent;
  }

  #find(bdf: string): PciFunction {
    const fn = this.#topology.find(bdf);
    if (fn) return fn;
    throw noSuchFault(bdf, "there is no such PCI function");
  }
}

function noSuchFault(bdf: string, why: string): ModelHostError {
  return new ModelHostError(`no fault can be caused at ${bdf}: ${why}`, {
    code: "MODEL_FAULT",
    details: { bdf },
    hint: "topology.functions lists the functions of the host.",
  });
}
