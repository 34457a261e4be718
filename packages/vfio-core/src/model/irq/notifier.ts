/**
 * ERR and REQ: one optional eventfd, signalled by the host (an AER error; the driver wants the device back).
 *
 * Source: vfio_pci_set_ctx_trigger_single. NONE and BOOL are loopback tests; NONE with count 0 clears.
 */
import { EINVAL } from "@minivmm/host";
import type { EventFd } from "@minivmm/host/model";
import { VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_NONE } from "../../uapi.ts";
import { eventFdOf } from "../eventfd.ts";
import { firstFd } from "./request-data.ts";
import type { IrqRequest } from "./types.ts";

export class Notifier {
  #trigger: EventFd | null = null;
  readonly #strict: boolean;

  /** `strict`: descriptors below -1 are refused (6.12) instead of ignored. */
  constructor(strict: boolean) {
    this.#strict = strict;
  }

  /** False when nobody asked to be told. */
  signal(): boolean {
    this.#trigger?.signal();
    return this.#trigger !== null;
  }

  clear(): void {
    this.#trigger = null;
  }

  setTrigger(request: IrqRequest): number {
    const { flags, start, count, data } = request;
    if (start !== 0 || count > 1) return -EINVAL;
    if (flags & VFIO_IRQ_SET_DATA_NONE) {
      if (!this.#trigger) return -EINVAL;
      if (count > 0) this.#trigger.signal();
      else this.#trigger = null;
      return 0;
    }
    if (count === 0) return -EINVAL;
    if (flags & VFIO_IRQ_SET_DATA_BOOL) {
      if (data[0] !== 0) this.#trigger?.signal();
      return 0;
    }
    const fd = firstFd(data);
    if (fd === -1) this.#trigger = null;
    else if (fd >= 0) this.#trigger = eventFdOf(request.process, fd);
    else if (this.#strict) return -EINVAL;
    return 0;
  }
}
