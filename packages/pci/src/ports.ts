// What a device model sees of the machine around it: a way to reach memory and a way to interrupt. Whoever plugs the
// device in sets these; a device that is not plugged has the two refusing ports below.
// Addresses are bus addresses in two 32-bit halves, so that nothing on these paths needs BigInt.

/**
 * Attributes of a request as its TLP has them (PCI Express Base 4.0, 2.2.6.3): with No Snoop the requester says that no cache
 * holds the memory, so that none need be asked. An IOMMU that enforces snooping drops it.
 */
export const TLP_NO_SNOOP = 1;

export interface DmaPort {
  /** True while messages, which are memory writes as well, are lost on their way (EEH). Default false. */
  readonly messagesLost?: boolean;
  /**
   * Read memory into `into`. False: refused (no translation, no permission, bus master off); `into` is then undefined.
   * `attributes`: TLP_NO_SNOOP or, by default, none.
   */
  read(hi: number, lo: number, into: Uint8Array, attributes?: number): boolean;
  /** Write `from` to memory. False: refused; a part before the refused page may have been written. */
  write(hi: number, lo: number, from: Uint8Array, attributes?: number): boolean;
}

export interface IrqPort {
  /** The level of the function's INTx pin, already gated by COMMAND.InterruptDisable and MSI enables. Called on changes. */
  intx(level: boolean): void;
  /** A message of MSI or MSI-X vector `vector`, with the address and data that software programmed for it. */
  msi(vector: number, addressHi: number, addressLo: number, data: number): void;
}

/** The legacy addresses of a display, which no BAR describes: memory from 0xa0000 and ports 0x3b0..0x3df. */
export interface LegacyDisplay {
  /** A byte, `at` counted from 0xa0000. */
  readMemory(at: number): number;
  writeMemory(at: number, value: number): void;
  /** A byte of a port; ones where none answers. */
  readPort(port: number): number;
  writePort(port: number, value: number): void;
}

export const NO_DMA: DmaPort = { read: () => false, write: () => false };
export const NO_IRQ: IrqPort = { intx: () => undefined, msi: () => undefined };
