/** What the interrupt files share: a validated request, the device as they see it, and the active mode. */
import type { ModelProcess } from "@minivmm/host/model";
import type { PciFunction } from "@minivmm/pci";
import type { ConfigTarget } from "../config/target.ts";
import type { Profile } from "../profile.ts";
import type { InterruptLines } from "./lines.ts";

/** No index is active. */
export const IRQ_NONE = 5;

/** A validated request: `data` holds exactly `count` elements of the kind that `flags` names. */
export interface IrqRequest {
  readonly process: ModelProcess;
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly data: Uint8Array;
}

/** What the interrupt code needs of its device. */
export interface IrqDevice {
  readonly fn: PciFunction;
  readonly config: ConfigTarget & { readonly interruptPin: number };
  readonly profile: Profile;
  /** INTx disable and interrupt status work, so the line can be shared. */
  readonly pci23: boolean;
  /** MSI-X vectors can be added later. */
  readonly dynamicMsix: boolean;
  /** A function may have several MSI vectors. */
  readonly multiMsi: boolean;
  /** The host's interrupt lines. */
  readonly lines: InterruptLines;
}

/** At most one of INTx, MSI and MSI-X is active; the holder of the mode is shared by their implementations. */
export interface IrqOwner {
  /** Active index, or IRQ_NONE. */
  mode: number;
  readonly device: IrqDevice;
}
