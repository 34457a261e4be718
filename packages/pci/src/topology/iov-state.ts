// SR-IOV of a physical function as the kernel keeps it (struct pci_sriov): what its capability said when the function
// was added, the addresses of the shared BARs, and the virtual functions that exist as devices.
// Generic because functions know their state and the state knows its functions.
import type { AssignedBar } from "../bar.ts";

export class IovState<F> {
  readonly totalVfs: number;
  /** BARs of the first virtual function; the others follow, one size after the other. */
  readonly bars: readonly AssignedBar[];
  /** Control register as it has to be. */
  control: number;
  /** As they were after the last write of NumVFs, on which they may depend. */
  offset = 0;
  stride = 0;
  /** `sriov_numvfs`: what a driver asked for and got. */
  numVfs = 0;
  /** `sriov_drivers_autoprobe`: virtual functions may be bound without a driver_override. */
  driversAutoprobe = true;
  /** By index, while they exist. */
  readonly virtfns: F[] = [];

  constructor(totalVfs: number, bars: readonly AssignedBar[], control: number) {
    this.totalVfs = totalVfs;
    this.bars = bars;
    this.control = control;
  }
}
