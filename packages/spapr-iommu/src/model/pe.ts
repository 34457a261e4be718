// A partitionable endpoint (PE): what EEH isolates as one, which is the IOMMU group. A DMA that its windows do not
// allow freezes it: loads give ones, stores, DMA and messages are lost, until somebody thaws or resets it.
// `IommuGroup.peFrozen` and `peDmaStopped` are what devices and VFIO look at: after MMIO alone was thawed, DMA and
// messages stay stopped. Pins are not: LSIs are the bridge's own. Source: arch/powerpc/kernel/eeh.c, PAPR 7.3.
import type { IommuGroup } from "@minivmm/pci";

export interface PeOptions {
  /** Does a bad DMA freeze the PE? */
  readonly freeze: boolean;
}

export class PartitionableEndpoint {
  readonly group: IommuGroup;
  /** The reset line is asserted. */
  resetActive = false;
  /** Freezes so far, for those who watch. */
  freezes = 0;
  readonly #freezesOnError: boolean;
  readonly #report: (message: string) => void;

  constructor(group: IommuGroup, options: PeOptions, report: (message: string) => void) {
    this.group = group;
    this.#freezesOnError = options.freeze;
    this.#report = report;
  }

  get dmaStopped(): boolean {
    return this.group.peDmaStopped;
  }
  set dmaStopped(stopped: boolean) {
    this.group.peDmaStopped = stopped;
  }

  get ioStopped(): boolean {
    return this.group.peFrozen;
  }

  /** A device did what the windows do not allow. */
  refused(direction: "read" | "write", hi: number, lo: number): void {
    if (!this.#freezesOnError) return;
    const address = `0x${(BigInt(hi >>> 0) * 0x1_0000_0000n + BigInt(lo >>> 0)).toString(16)}`;
    this.freeze(`DMA ${direction} of ${address}, which no window maps`);
  }

  freeze(reason: string): void {
    if (this.ioStopped && this.dmaStopped) return;
    this.group.peFrozen = true;
    this.dmaStopped = true;
    this.freezes++;
    this.#report(`EEH: Frozen PE of IOMMU group ${this.group.id} detected: ${reason}`);
  }

  /** A new owner gets the PE in working order: a frozen one is reset first (eeh_pe_change_owner). */
  takeOver(): void {
    if (!this.ioStopped && !this.dmaStopped) return;
    this.assertReset();
    this.deassertReset();
  }

  thawIo(): void {
    this.group.peFrozen = false;
  }

  thawDma(): void {
    this.dmaStopped = false;
    this.group.peFrozen = false;
  }

  /** RESET_HOT, RESET_FUNDAMENTAL: isolated, devices reset and silent until the line is released. */
  assertReset(): void {
    this.group.peFrozen = true;
    this.dmaStopped = true;
    this.resetActive = true;
    for (const fn of this.group.functions) {
      fn.device.reset("bus");
      fn.responding = false;
    }
  }

  deassertReset(): void {
    if (this.resetActive) for (const fn of this.group.functions) fn.responding = true;
    this.resetActive = false;
    this.thawDma();
  }
}
