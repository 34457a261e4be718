// A container of the sPAPR kind as machine pseries has it: DMA windows follow the guest's, and EEH works on it.
import type { GuestMemory, Host } from "@minivmm/host";
import { VFIO_EEH } from "@minivmm/vfio-core";
import type { VfioPciConfig } from "../config/functions.ts";
import type { EehContainer, EehOps } from "../machines/pseries/eeh.ts";
import type { TceWindows } from "../machines/pseries/iommu.ts";
import type { TceAcceleration } from "../machines/pseries/tce-acceleration.ts";
import { type DmaSummary, newDmaSummary } from "../summary.ts";
import { SHARED_CONTAINER } from "./snoop-placement.ts";
import { SpaprSetup } from "./spapr-setup.ts";
import { VfioSession } from "./vfio-session.ts";

/** Name of the container that a configuration asks for: devices with the same one share it. */
export function containerName({ container, containerFd }: VfioPciConfig): string {
  return containerFd === undefined ? container || SHARED_CONTAINER : `descriptor ${containerFd}`;
}

export interface SpaprSessionOptions {
  readonly host: Host;
  readonly ram: GuestMemory;
  /** The guest's DMA windows, which the container follows. */
  readonly windows: TceWindows;
  /** A container that somebody with more rights opened; it stays theirs to close. */
  readonly containerFd?: number | undefined;
  /** KVM, which hears of every group. */
  readonly acceleration?: TceAcceleration | undefined;
}

export class SpaprSession extends VfioSession<SpaprSetup> implements EehContainer {
  readonly counters: DmaSummary;

  constructor({ host, ram, windows, containerFd, acceleration }: SpaprSessionOptions) {
    const counters = newDmaSummary();
    super(host, containerFd, (container, type) => {
      return new SpaprSetup(container, type, { host, ram, windows, counters, acceleration });
    });
    this.counters = counters;
  }

  /** Undefined before the first group. Version 2 has all RAM pinned, version 1 what the guest has mapped. */
  get kind(): "spapr-v1" | "spapr-v2" | undefined {
    return this.iommu?.kind;
  }

  get eeh(): EehOps | undefined {
    return this.iommu?.eeh;
  }

  get hasEeh(): boolean {
    return this.checkExtension(VFIO_EEH) > 0;
  }
}
