/**
 * A queue of page requests (IOMMU_FAULT_QUEUE_ALLOC) and the file to read them from and answer them with.
 *
 * No modelled device makes page requests (PRI), and only nested page tables could have a queue, so it stays empty.
 * Source: drivers/iommu/iommufd/fault.c.
 */
import { EINVAL, ESPIPE } from "@minivmm/host";
import type { FileOps, OpenFile } from "@minivmm/host/model";
import { IommufdObject } from "./object.ts";

const REQUEST_SIZE = 40;
const RESPONSE_SIZE = 8;

export class FaultQueue extends IommufdObject {
  readonly type = "fault";

  override destroy(): void {}
}

export class FaultFile implements FileOps {
  readonly kind = "iommufd-pgfault";
  readonly #queue: FaultQueue;
  readonly #iommufd: OpenFile;

  /** Takes a reference on the iommufd until it is closed. */
  constructor(queue: FaultQueue, iommufd: OpenFile) {
    this.#queue = queue;
    this.#iommufd = iommufd.get();
    queue.users++;
  }

  read(into: Uint8Array): number {
    return into.length % REQUEST_SIZE === 0 ? 0 : -ESPIPE;
  }

  /** There is no request that could be answered. */
  write(from: Uint8Array): number {
    if (from.length % RESPONSE_SIZE !== 0) return -ESPIPE;
    return from.length === 0 ? 0 : -EINVAL;
  }

  poll(): boolean {
    return false;
  }

  release(): void {
    this.#queue.users--;
    this.#iommufd.put();
  }
}
