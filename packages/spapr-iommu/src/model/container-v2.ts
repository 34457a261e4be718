// Version 2 (VFIO_SPAPR_TCE_v2_IOMMU): memory is registered (pinned and charged) ahead of mapping, windows are made and
// removed at will, several groups share them. Source: tce_iommu_register_pages, tce_iommu_unregister_pages.
// Invariant: `#registered` are this container's registrations; each holds one use of its region.
import { EBUSY, EINVAL, ENOENT, ENOTTY, ENXIO, EPERM } from "@minivmm/host";
import type { AddressSpace, IoctlCall } from "@minivmm/host/model";
import { vfio_iommu_spapr_register_memory, vfio_iommu_spapr_tce_create, vfio_iommu_spapr_tce_remove } from "../uapi.ts";
import { type ContainerContext, TceContainer } from "./container.ts";
import { PreregisteredMemory } from "./prereg.ts";
import type { MemoryRegion } from "./region.ts";

const TWO_32 = 0x1_0000_0000n;
const TWO_64 = 1n << 64n;

export class TceContainerV2 extends TceContainer {
  readonly v2 = true;
  readonly #registered = new Set<MemoryRegion>();

  constructor(context: ContainerContext) {
    super(context, true);
  }

  protected override versioned(call: IoctlCall): number {
    const { ioctls } = this.context;
    switch (call.request) {
      case ioctls.VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
        this.own(call);
        return this.#memory(call, (mm, start, size) => this.#register(mm, start, size));
      case ioctls.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
        if (this.account.mm === null) return -EPERM;
        return this.#memory(call, (mm, start, size) => this.#unregister(mm, start, size));
      case ioctls.VFIO_IOMMU_SPAPR_TCE_CREATE:
        return this.#create(call);
      case ioctls.VFIO_IOMMU_SPAPR_TCE_REMOVE:
        return this.#remove(call);
      default:
        return -ENOTTY;
    }
  }

  protected override releaseVersion(): void {
    const { mm } = this.account;
    for (const region of this.#registered) {
      if (mm !== null && PreregisteredMemory.of(mm, this.context.arena).put(region) < 0)
        this.context.warn("tce_vfio: a region stays in use");
    }
    this.#registered.clear();
  }

  /** Both commands take the same struct and the same checks. Number halves stay exact: user addresses are below 2^47. */
  #memory(call: IoctlCall, act: (mm: AddressSpace, start: number, size: number) => number): number {
    const struct = vfio_iommu_spapr_register_memory;
    const { argsz, flags, vaddr, size } = struct.decode(call.arg.copyIn(struct.size));
    if (argsz < struct.size || flags !== 0) return -EINVAL;
    const mask = BigInt(this.context.pageSize - 1);
    if ((vaddr & mask) !== 0n || (size & mask) !== 0n || vaddr + size >= TWO_64) return -EINVAL;
    return act(call.process.mm, Number(vaddr), Number(size));
  }

  #register(mm: AddressSpace, start: number, size: number): number {
    const list = PreregisteredMemory.of(mm, this.context.arena);
    let region = list.get(start, size);
    if (region) {
      if (this.#registered.has(region)) {
        list.put(region);
        return -EBUSY;
      }
    } else {
      const made = list.register(start, size, this.profile.overlapFirst);
      if (typeof made === "number") return made;
      region = made;
    }
    this.#registered.add(region);
    this.enabled = true;
    return 0;
  }

  #unregister(mm: AddressSpace, start: number, size: number): number {
    const list = PreregisteredMemory.of(mm, this.context.arena);
    const region = list.get(start, size);
    if (!region) return -ENOENT;
    list.put(region);
    if (!this.#registered.has(region)) return -ENOENT;
    const result = list.put(region);
    // Where the kernel holds a second use for the length of the call, its refusal gets lost: the ioctl succeeds, the
    // container forgets the region, and the region lives on until the process exits.
    if (result < 0 && this.profile.unregisterBusy) return result;
    this.#registered.delete(region);
    return 0;
  }

  #create(call: IoctlCall): number {
    this.own(call);
    if (this.windows.groups.length === 0) return -ENXIO;
    const struct = vfio_iommu_spapr_tce_create;
    const request = struct.decode(call.arg.copyIn(struct.size));
    if (request.argsz < struct.size || request.flags !== 0) return -EINVAL;
    const pending = this.windows.createDefault();
    if (pending < 0) return pending;
    const { page_shift: pageShift, window_size: windowSize, levels } = request;
    const table = this.windows.create({ pageShift, windowSize, levels });
    if (typeof table === "number") return table;
    call.arg.copyOut(struct.encode({ ...request, start_addr: table.start }));
    return 0;
  }

  #remove(call: IoctlCall): number {
    this.own(call);
    if (this.windows.groups.length === 0) return -ENXIO;
    const struct = vfio_iommu_spapr_tce_remove;
    const { argsz, flags, start_addr: start } = struct.decode(call.arg.copyIn(struct.size));
    if (argsz < struct.size || flags !== 0) return -EINVAL;
    if (this.windows.defaultPending && start === 0n) {
      this.windows.defaultPending = false;
      return 0;
    }
    return this.windows.remove(Number(start / TWO_32), Number(start % TWO_32));
  }
}
