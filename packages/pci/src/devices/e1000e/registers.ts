// Registers of Intel's 82574L gigabit Ethernet controller that the model knows, under the names of its datasheet
// (chapter 10): offset in BAR 0, power-on value, bits that software may write. Registers that only hold what software
// puts there (filters, thresholds, timers) are in the table and nowhere else.
// A register that is not in the table reads zero and ignores writes. Reserved bits are kept as written.

export const CTRL = 0x0000;
export const CTRL_FD = 0x0000_0001;
export const CTRL_MASTER_DISABLE = 0x0000_0004;
export const CTRL_SPEED_SHIFT = 8;
export const CTRL_FRCSPD = 0x0000_0800;
export const CTRL_FRCDPX = 0x0000_1000;
export const CTRL_RST = 0x0400_0000;
export const CTRL_PHY_RST = 0x8000_0000;
export const STATUS = 0x0008;
export const STATUS_FD = 0x0000_0001;
export const STATUS_SPEED_SHIFT = 6;
export const STATUS_PHYRA = 0x0000_0400;
export const STATUS_MASTER_ENABLED = 0x0008_0000;
/** Link up, speed detected as 1000 Mb/s. */
export const STATUS_LINK = 0x0000_0202;
export const SPEED_1000 = 2;
export const EECD = 0x0010;
/** NVM present, read at power-on, its size. */
export const EECD_READ_ONLY = 0x0000_7b00;
export const EERD = 0x0014;
export const CTRL_EXT = 0x0018;
/** Check speed, reset the NVM interface. */
export const CTRL_EXT_SELF_CLEARING = 0x0000_3000;
export const CTRL_EXT_SPD_BYPS = 0x0000_8000;
export const CTRL_EXT_IAME = 0x0800_0000;
export const MDIC = 0x0020;
export const ICR = 0x00c0;
export const ITR = 0x00c4;
export const ICS = 0x00c8;
export const IMS = 0x00d0;
export const IMC = 0x00d8;
export const EIAC = 0x00dc;
export const IAM = 0x00e0;
export const IVAR = 0x00e4;
export const EITR = 0x00e8;
export const RCTL = 0x0100;
export const TCTL = 0x0400;
export const RDBAL = 0x2800;
export const RDBAH = 0x2804;
export const RDLEN = 0x2808;
export const RDH = 0x2810;
export const RDT = 0x2818;
export const TDBAL = 0x3800;
export const TDBAH = 0x3804;
export const TDLEN = 0x3808;
export const TDH = 0x3810;
export const TDT = 0x3818;
export const QUEUE_STRIDE = 0x100;
export const QUEUES = 2;
export const RXCSUM = 0x5000;
export const MTA = 0x5200;
export const RAL = 0x5400;
export const RAH = 0x5404;
export const RAH_VALID = 0x8000_0000;
export const RFCTL = 0x5008;
export const RFCTL_EXTEN = 0x0000_8000;
export const VFTA = 0x5600;
export const GPRC = 0x4074;
export const GPTC = 0x4080;
export const GORCL = 0x4088;
export const GOTCL = 0x4090;
export const TPR = 0x40d0;
export const TPT = 0x40d4;
export const STATISTICS = 0x4000;
export const STATISTICS_END = 0x4130;
export const GCR = 0x5b00;
export const GCR_READ_ONLY = 0x0680_0000;
/** Which requests say No Snoop: data, descriptors written back and descriptors read, of reception and of transmission. */
export const GCR_RXD_NO_SNOOP = 0x01;
export const GCR_RXDSCW_NO_SNOOP = 0x02;
export const GCR_RXDSCR_NO_SNOOP = 0x04;
export const GCR_TXD_NO_SNOOP = 0x08;
export const GCR_TXDSCW_NO_SNOOP = 0x10;
export const GCR_TXDSCR_NO_SNOOP = 0x20;
export const SWSM = 0x5b50;
export const SWSM_SMBI = 1;
export const BAR_SIZE = 0x2_0000;

export const RCTL_EN = 0x0000_0002;
export const RCTL_UPE = 0x0000_0008;
export const RCTL_MPE = 0x0000_0010;
export const RCTL_LBM = 0x0000_00c0;
export const RCTL_LBM_MAC = 0x0000_0040;
export const RCTL_BAM = 0x0000_8000;
export const RCTL_SECRC = 0x0400_0000;
export const RCTL_BSEX = 0x0200_0000;
export const TCTL_EN = 0x0000_0002;
export const TCTL_PSP = 0x0000_0008;

/** Name, offset, power-on value, writable bits. */
export type RegisterRow = readonly [name: string, offset: number, reset: number, write: number];

const ALL = 0xffff_ffff;
const WORD = 0xffff;
/** Addresses of rings are 16-byte aligned, lengths multiples of 128 bytes. */
const RING_BASE = 0xffff_fff0;
const RING_LENGTH = 0x000f_ff80;
const FIFO = 0x1fff;

const perQueue = (name: string, offset: number, reset: number, write: number): RegisterRow[] =>
  Array.from({ length: QUEUES }, (_, n) => [`${name}${n}`, offset + n * QUEUE_STRIDE, reset, write] as const);
const array = (name: string, offset: number, count: number, write = ALL): RegisterRow[] =>
  Array.from({ length: count }, (_, n) => [`${name}[${n}]`, offset + n * 4, 0, write] as const);

export const E1000E_REGISTERS: readonly RegisterRow[] = [
  ["CTRL", CTRL, 0x0014_0241, ALL],
  ["EECD", EECD, 0x0000_0300, ~EECD_READ_ONLY >>> 0],
  ["EERD", EERD, 0x0000_0002, 0],
  ["CTRL_EXT", CTRL_EXT, 0, ~CTRL_EXT_SELF_CLEARING >>> 0],
  ["FLA", 0x001c, 0, ALL],
  ["MDIC", MDIC, 0, 0],
  ["FCAL", 0x0028, 0, ALL],
  ["FCAH", 0x002c, 0, WORD],
  ["FCT", 0x0030, 0, WORD],
  ["VET", 0x0038, 0x8100, WORD],
  ["ITR", ITR, 0, WORD],
  ["EIAC", EIAC, 0, ALL],
  ["IAM", IAM, 0, ALL],
  ["IVAR", IVAR, 0, ALL],
  ...array("EITR", EITR, 5, WORD),
  ["RCTL", RCTL, 0, ALL],
  ["FCTTV", 0x0170, 0, WORD],
  ["TCTL", TCTL, 0, ALL],
  ["TIPG", 0x0410, 0x0060_2008, ALL],
  ["AIT", 0x0458, 0, WORD],
  ["LEDCTL", 0x0e00, 0x0006_8302, ALL],
  ["EXTCNF_CTRL", 0x0f00, 0x0000_0008, ALL],
  ["EXTCNF_SIZE", 0x0f08, 0, ALL],
  ["PHY_CTRL", 0x0f10, 0x0000_030d, ALL],
  ["PBA", 0x1000, 0x0014_0014, ALL],
  ["PBS", 0x1008, 0x0000_0028, 0x0000_003f],
  ["EEMNGCTL", 0x1010, 0x8000_0000, ALL],
  ["FLASHT", 0x1028, 0x0000_0002, WORD],
  ["EEWR", 0x102c, 0x0000_0002, 0],
  ["FLSWCTL", 0x1030, 0xc000_0000, ALL],
  ["FLSWDATA", 0x1034, 0, ALL],
  ["FLSWCNT", 0x1038, 0, ALL],
  ["FLOP", 0x103c, 0, ALL],
  ["FLOL", 0x1050, 0x0000_0001, ALL],
  ["FCRTL", 0x2160, 0, 0x8000_fff8],
  ["FCRTH", 0x2168, 0, 0xfff8],
  ["PSRCTL", 0x2170, 0x0004_0402, ALL],
  ["RDFH", 0x2410, 0, FIFO],
  ["RDFT", 0x2418, 0, FIFO],
  ["RDFHS", 0x2420, 0, FIFO],
  ["RDFTS", 0x2428, 0, FIFO],
  ["RDFPC", 0x2430, 0, FIFO],
  ...perQueue("RDBAL", RDBAL, 0, RING_BASE),
  ...perQueue("RDBAH", RDBAH, 0, ALL),
  ...perQueue("RDLEN", RDLEN, 0, RING_LENGTH),
  ...perQueue("RDH", RDH, 0, WORD),
  ...perQueue("RDT", RDT, 0, WORD),
  ["RDTR", 0x2820, 0, WORD],
  ...perQueue("RXDCTL", 0x2828, 0x0001_0000, ALL),
  ["RADV", 0x282c, 0, WORD],
  ["RSRPD", 0x2c00, 0, 0x0fff],
  ["RAID", 0x2c08, 0, WORD],
  ["TDFH", 0x3410, 0x0000_0600, FIFO],
  ["TDFT", 0x3418, 0x0000_0600, FIFO],
  ["TDFHS", 0x3420, 0x0000_0600, FIFO],
  ["TDFTS", 0x3428, 0x0000_0600, FIFO],
  ["TDFPC", 0x3430, 0, FIFO],
  ...perQueue("TDBAL", TDBAL, 0, RING_BASE),
  ...perQueue("TDBAH", TDBAH, 0, ALL),
  ...perQueue("TDLEN", TDLEN, 0, RING_LENGTH),
  ...perQueue("TDH", TDH, 0, WORD),
  ...perQueue("TDT", TDT, 0, WORD),
  ...perQueue("TXDCTL", 0x3828, 0, ALL),
  ["TADV", 0x382c, 0, WORD],
  ...perQueue("TARC", 0x3840, 0x0000_0403, 0x7800_07ff),
  ["FCRUC", 0x4058, 0, ALL],
  ["RXCSUM", RXCSUM, 0x0000_0300, ALL],
  ["RFCTL", RFCTL, 0, ALL],
  ...array("MAVTV", 0x5010, 4),
  ...array("MTA", MTA, 128),
  ...array("RA", RAL, 32),
  ...array("VFTA", VFTA, 128),
  ["WUC", 0x5800, 0, ALL],
  ["WUFC", 0x5808, 0, ALL],
  ["WUS", 0x5810, 0, ALL],
  ["MRQC", 0x5818, 0, ALL],
  ["MANC", 0x5820, 0x1000_0000, ALL],
  ["MNGCBPTRS", 0x5824, 0, ALL],
  ["MNGCBPTR", 0x5828, 0, ALL],
  ["SWFWSYNC", 0x5830, 0, ALL],
  ["IPAV", 0x5838, 0, ALL],
  ...array("IP4AT", 0x5840, 7),
  ["MANC2H", 0x5860, 0, ALL],
  ...array("IP6AT", 0x5880, 12),
  ...array("WUPM", 0x5a00, 32),
  ["GCR", GCR, 0x0680_0200, ~GCR_READ_ONLY >>> 0],
  ["FUNCTAG", 0x5b08, 0, ALL],
  ...array("GSCN", 0x5b10, 8),
  ["FACTPS", 0x5b30, 0x2000_0004, ALL],
  ["SWSM", SWSM, SWSM_SMBI, ALL],
  ["GCR2", 0x5b64, 0, ALL],
  ["PBACLR", 0x5b68, 0, 0x0000_001f],
  ...array("RETA", 0x5c00, 32),
  ...array("RSSRK", 0x5c80, 32),
  ...array("TIMESYNC", 0xb600, 13),
  ["RXMTRL", 0xb634, 0x0000_88f7, ALL],
  ["RXUDP", 0xb638, 0x0000_0319, ALL],
];

/** Older names of registers, which the part still answers to: address filters and FIFO pointers. */
export const E1000E_ALIASES: ReadonlyMap<number, number> = new Map([
  ...Array.from({ length: 32 }, (_, n) => [0x0040 + n * 4, RAL + n * 4] as const),
  ...Array.from({ length: 128 }, (_, n) => [0x0600 + n * 4, VFTA + n * 4] as const),
  [0x0108, 0x2820],
  [0x0110, RDBAL],
  [0x0114, RDBAH],
  [0x0118, RDLEN],
  [0x0120, RDH],
  [0x0128, RDT],
  [0x0160, 0x2168],
  [0x0168, 0x2160],
  [0x0420, TDBAL],
  [0x0424, TDBAH],
  [0x0428, TDLEN],
  [0x0430, TDH],
  [0x0438, TDT],
  [0x8000, 0x2410],
  [0x8008, 0x2418],
  [0x8010, 0x3410],
  [0x8018, 0x3418],
]);
