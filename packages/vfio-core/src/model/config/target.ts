/**
 * What the rules of single capabilities see of a configuration space, and what a write can set off outside of it.
 */
import type { HostBar } from "./bars.ts";

export interface HardwareConfig {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/** What a write to configuration space can set off in the device it belongs to. */
export interface ConfigEffects {
  /** Memory decode goes off: mappings of BARs must fault from now on. */
  memoryDisabled(): void;
  /** Virtual INTx disable changed. */
  intxDisable(on: boolean): void;
  /** PMCSR.PowerState written: 0..3. */
  powerState(state: number): void;
  /** FLR bit written on a function that has FLR. */
  functionReset(): void;
  /** Is MSI the active interrupt mode? */
  msiActive(): boolean;
  /** log2 of the MSI vectors that the ioctl allocated. */
  msiQueueSize(): number;
}

export interface ConfigTarget {
  readonly hw: HardwareConfig;
  readonly effects: ConfigEffects;
  readonly bars: readonly HostBar[];
  /** A virtual function: its BARs and memory enable are in the physical function's SR-IOV capability. */
  readonly isVirtual: boolean;
  /** The next read of a BAR must reduce what was written first. */
  barsDirty: boolean;
  /** INTx disable as the interrupt code last heard of it. */
  intxDisabled: boolean;
  /** The virtual copy, whatever bits of it are in force. */
  virtual(at: number, size: 1 | 2 | 4): number;
  setVirtual(at: number, size: 1 | 2 | 4, value: number): void;
  /** Stores what may be stored: virtual bits in the copy, the others in hardware. */
  storeChunk(at: number, size: 1 | 2 | 4, value: number): void;
}
