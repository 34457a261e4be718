// The address windows that a host bridge forwards to its buses.

export interface AddressWindow {
  /** Host physical (CPU) base address. */
  readonly base: number;
  readonly size: number;
  /** Bus address of `base`; default the same number. A POWER PHB shows its 32-bit window elsewhere than the CPU does. */
  readonly busBase?: number;
}

export interface AddressWindows {
  /** Non-prefetchable and 32-bit memory; bus addresses below 4 GiB. */
  readonly memory32: AddressWindow;
  /** 64-bit prefetchable memory. */
  readonly memory64: AddressWindow;
  readonly io: AddressWindow;
}

/** The kinds of address space a BAR can be in. */
export type Space = keyof AddressWindows;

/** What a bridge forwards downwards: bus address of the first byte, and bytes. */
export interface BridgeWindow {
  readonly base: number;
  readonly size: number;
}

/** The windows of a bridge; one that is missing is closed. `memory64` is the prefetchable one. */
export interface BridgeWindows extends Readonly<Partial<Record<Space, BridgeWindow>>> {
  /** Described, not found by firmware. */
  readonly fixed?: boolean;
}
