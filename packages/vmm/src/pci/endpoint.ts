// What a PCI host bridge needs of a function plugged into it, whether the function is emulated or passed through.
// Invariants: no call throws for anything a guest chose; reads answer ones where nothing is; the endpoint owns its
// configuration registers, the bridge owns the windows that they are decoded in.
import type { BarDescription } from "@minivmm/pci/function";
import type { BarWrites } from "./bar-writes.ts";

export type { BarDescription } from "@minivmm/pci/function";

/** Interrupts out of the function. */
export interface EndpointWires {
  /** Level of the INTx pin. */
  intx(level: boolean): void;
  /** A message: a write of `data` to a bus address. */
  message(addressHi: number, addressLo: number, data: number): void;
  /** Interrupt input of the machine that the pin leads to; absent where pins pass through the monitor only. */
  readonly gsi?: number;
}

/** A BAR of a function of the host, as the guest has it now. */
export interface HostBar {
  /** The function. */
  readonly bdf: string;
  /** Bytes that the guest reaches without an exit. */
  readonly directBytes: number;
  /** The MSI-X table is in it. */
  readonly msixTable: boolean;
}

export interface PciEndpoint {
  /** The user's id of the device, for summary and messages. */
  readonly name: string;
  readonly configSize: number;
  readonly bars: readonly BarDescription[];
  /** 0 none, 1..4 INTA..INTD. */
  readonly interruptPin: number;
  /** Vectors that the MSI capability offers, 0 without one. */
  readonly msiVectors: number;
  /** Vectors that the MSI-X table holds, 0 without one. */
  readonly msixVectors: number;

  /** What the host refused while the guest ran, in words, the first few. */
  readonly problems: readonly string[];

  /** Called once, before the guest runs. */
  connect(wires: EndpointWires): void;
  /** Offset and width are aligned and inside configSize. */
  readConfig(offset: number, width: 1 | 2 | 4): number;
  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void;
  /** Bus address that the guest programmed into a BAR, -1 while COMMAND keeps it from being decoded. */
  barAddress(bar: BarDescription): number;
  /** `out[0]` low half, `out[1]` high half. */
  readBar(index: number, offset: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void;
  writeBar(index: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void;
  /**
   * Up to 64 bytes of a prefetchable memory BAR that the CPU has combined; all inside the BAR, and the caller's. An endpoint
   * without this is never combined for.
   */
  writeBurst?(index: number, offset: number, bytes: Uint8Array): void;
  /** What the guest's stores became: transactions of an emulated function, requests to the host for one of its own. */
  barWrites?(): readonly BarWrites[];
  /** Firmware programs messages: vector i sends `firstData + i` to the address. Count 0 clears. */
  programMessages(kind: "msi" | "msix", addressHi: number, addressLo: number, firstData: number, count: number): void;
  /** The guest ended the interrupt that this function's pin raised. */
  intxEnded(): void;
  /**
   * CPU address at which a memory BAR is decoded now, -1 when it is not. Called when it changes, after the write that
   * changed it; a BAR that moves is told -1 first, and so is one while another BAR answers for part of its addresses.
   */
  decodingChanged?(bar: BarDescription, address: number): void;
  /** Passed-through functions alone have this: how the guest reaches a BAR. */
  hostBar?(index: number): HostBar;
  /** Passed-through functions alone have this: EEH is about to reset the function, and the guest's copy of it follows. */
  prepareReset?(): void;
  close(): void;
}
