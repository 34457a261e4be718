/**
 * MSI and MSI-X: vectors that are allocated together when the index is enabled, each with an eventfd or none.
 *
 * The host chooses the messages; what the user writes as address and data is never used. Vectors have no mask for the
 * user. MSI-X can grow while enabled where the interrupt domain allows. Source: vfio_msi_* of vfio_pci_intrs.c.
 */
import { EINVAL, ERANGE } from "@minivmm/host";
import { type EventFd, refusal } from "@minivmm/host/model";
import { VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_MSIX_IRQ_INDEX } from "../../uapi.ts";
import { eventFdOf } from "../eventfd.ts";
import { fdAt } from "./request-data.ts";
import { IRQ_NONE, type IrqOwner, type IrqRequest } from "./types.ts";
import { allocateVectors, releaseVectors, unmaskVector } from "./vectors.ts";

export class MessageInterrupts {
  readonly #owner: IrqOwner;
  /** Vectors that have an interrupt allocated. */
  readonly #allocated = new Set<number>();
  #triggers: (EventFd | null)[] = [];
  /** log2 of the MSI vectors in use: the largest multiple message enable the user may set. */
  queueSize = 0;

  constructor(owner: IrqOwner) {
    this.#owner = owner;
  }

  /** A message of the function arrived at the host. Hot: one array access and a signal. */
  deliver(vector: number): void {
    if (this.#owner.mode !== IRQ_NONE) this.#triggers[vector]?.signal();
  }

  setTrigger(request: IrqRequest): number {
    const { flags, index, start, count, data } = request;
    const active = this.#owner.mode === index;
    if (active && count === 0 && flags & VFIO_IRQ_SET_DATA_NONE) {
      this.disable();
      return 0;
    }
    if (!active && this.#owner.mode !== IRQ_NONE) return -EINVAL;
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
      if (active) return this.#setBlock(request);
      const refused = this.#enable(index, start + count);
      if (refused !== 0) return refused;
      const result = this.#setBlock(request);
      if (result < 0) this.disable();
      return result;
    }
    if (!active) return -EINVAL;
    // Unlike connecting, this looks at the end only: nothing at the end is nothing, not a mistake.
    if (!this.#owner.device.profile.dynamicMsix && start + count > this.#triggers.length) return -EINVAL;
    for (let i = 0; i < count; i++) {
      if (flags & VFIO_IRQ_SET_DATA_NONE || data[i] !== 0) this.#triggers[start + i]?.signal();
    }
    return 0;
  }

  disable(): void {
    const { device, mode } = this.#owner;
    this.#triggers = [];
    this.#allocated.clear();
    this.queueSize = 0;
    this.#owner.mode = IRQ_NONE;
    releaseVectors(device.fn, mode === VFIO_PCI_MSIX_IRQ_INDEX);
  }

  /** 0, -errno, or the smaller number of vectors that can be had; then nothing is enabled. */
  #enable(index: number, count: number): number {
    const { device } = this.#owner;
    const msix = index === VFIO_PCI_MSIX_IRQ_INDEX;
    if (count === 0) return -ERANGE;
    if (!msix && count > 1 && !device.multiMsi) return 1;
    for (let vector = 0; vector < count; vector++) this.#allocated.add(vector);
    this.#triggers = new Array(count).fill(null);
    this.#owner.mode = index;
    this.queueSize = msix ? 0 : Math.ceil(Math.log2(count));
    allocateVectors(device.fn, msix, count);
    return 0;
  }

  /** On failure the vectors of this call up to the failing one are disconnected; the index stays enabled. */
  #setBlock(request: IrqRequest): number {
    const { start, count } = request;
    if (!this.#owner.device.profile.dynamicMsix && !this.#inRange(start, count)) return -EINVAL;
    for (let i = 0; i < count; i++) {
      const result = this.#connect(request, start + i, fdAt(request.data, i));
      if (result === 0) continue;
      for (let vector = start; vector <= start + i; vector++) this.#disconnect(vector);
      return result;
    }
    return 0;
  }

  #connect(request: IrqRequest, vector: number, fd: number): number {
    const { device, mode } = this.#owner;
    this.#disconnect(vector);
    if (fd < 0) return 0;
    const msix = mode === VFIO_PCI_MSIX_IRQ_INDEX;
    if (!this.#allocated.has(vector)) {
      if (!msix || !device.dynamicMsix) return -EINVAL;
      this.#allocated.add(vector);
    }
    try {
      this.#triggers[vector] = eventFdOf(request.process, fd);
    } catch (error) {
      return refusal(error);
    }
    if (msix) unmaskVector(device.fn, vector, true);
    return 0;
  }

  #disconnect(vector: number): void {
    if (!this.#triggers[vector]) return;
    this.#triggers[vector] = null;
    if (this.#owner.mode === VFIO_PCI_MSIX_IRQ_INDEX) unmaskVector(this.#owner.device.fn, vector, false);
  }

  #inRange(start: number, count: number): boolean {
    return start < this.#triggers.length && start + count <= this.#triggers.length;
  }
}
