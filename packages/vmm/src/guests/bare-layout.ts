// Where the bare-metal disk guest finds the machine and keeps its own things. A kernel would read all of this from the
// device tree; the example takes it as options whose defaults are the pseries machine's.
// Source: PAPR (RTAS tokens are the platform's choice), the machine's device tree.

export interface BareDiskOptions {
  /** Real address that the program is linked for; it runs anywhere below 4 GiB. Default 0x400000. */
  readonly loadAddress?: number;
  /** 2 MiB of RAM for stack, queues and buffers. Default 0x1000000. */
  readonly memoryBase?: number;
  /** Unit address of the virtual terminal. Default 0x71000000. */
  readonly vtyUnit?: number;
  /** RTAS entry point and tokens of the tree's rtas node. */
  readonly rtasEntry?: number;
  readonly rtasTokens?: { readonly readConfig: number; readonly writeConfig: number; readonly powerOff: number };
  /** BUID of the host bridge, and bus<<16 | devfn<<8 of the disk controller. */
  readonly buid?: bigint;
  readonly configAddress?: number;
  /** Bus address that BAR 0 gets, and the real address where the bridge shows it. Default: start of the 64-bit window. */
  readonly barBusAddress?: number;
  readonly barRealAddress?: number;
  /** Default DMA window: its LIOBN, and the bus address in it (4 KiB pages) from which on this program maps. */
  readonly liobn?: number;
  readonly dmaAddress?: number;
  /** Bytes to read and, behind them, to write; multiple of 64 KiB. Default 1 MiB. */
  readonly bytes?: number;
}

export type BareSettings = Required<BareDiskOptions>;

/** First addresses of the two MMIO windows of the pseries host bridge, for barBusAddress and barRealAddress. */
export const MMIO_WINDOW_32 = { barBusAddress: 0x80000000, barRealAddress: 0x200080000000 } as const;
export const MMIO_WINDOW_64 = { barBusAddress: 0x210000000000, barRealAddress: 0x210000000000 } as const;

export function bareSettings(options: BareDiskOptions): BareSettings {
  return {
    loadAddress: 0x400000,
    memoryBase: 0x1000000,
    vtyUnit: 0x71000000,
    rtasEntry: 0x7fff0000,
    rtasTokens: { readConfig: 0x2016, writeConfig: 0x2017, powerOff: 0x2003 },
    buid: 0x800000020000000n,
    configAddress: 0x800,
    ...MMIO_WINDOW_64,
    liobn: 0x80000000,
    dmaAddress: 0x100000,
    bytes: 1 << 20,
    ...options,
  };
}

export const PAGE = 4096;
/** One transfer: 16 pages, so that a PRP list is needed. */
export const REQUEST_BYTES = 64 << 10;
export const DATA_PAGES = REQUEST_BYTES / PAGE;

/** Offsets from memoryBase. */
export const MEMORY = {
  stackTop: 0x8000,
  rtasFrame: 0x8000,
  /** Command under construction (64 bytes) and the two queues' states (QUEUE_STATE each). */
  command: 0x8800,
  queues: 0x8900,
  /** The page of TCEs that H_PUT_TCE_INDIRECT reads. */
  tceList: 0x9000,
  /** What the device sees: DEVICE_PAGES pages from here, bus address dmaAddress. */
  device: 0x10000,
} as const;

/** Pages from MEMORY.device on. */
export const DEVICE_PAGE = {
  adminSubmission: 0,
  adminCompletion: 1,
  ioSubmission: 2,
  ioCompletion: 3,
  identify: 4,
  prpList: 5,
  data: 6,
} as const;
/** Queue and list pages are mapped one by one, the data pages with one indirect call. */
export const CONTROL_PAGES = DEVICE_PAGE.data;
export const DEVICE_PAGES = CONTROL_PAGES + DATA_PAGES;

export type DevicePage = keyof typeof DEVICE_PAGE;

/** Real address of a page that the device sees. */
export function pageAddress(s: BareSettings, page: DevicePage): number {
  return s.memoryBase + MEMORY.device + DEVICE_PAGE[page] * PAGE;
}

/** Bus address of the same page. */
export function busAddress(s: BareSettings, page: DevicePage): number {
  return s.dmaAddress + DEVICE_PAGE[page] * PAGE;
}
