// Registers of Intel's 82574L gigabit Ethernet controller that the model knows, under the names of its datasheet
// (chapter 10): offset in BAR 0, power-on value, bits that software may write. Registers that only hold what software
// puts there (filters, thresholds, timers) are in the table and nowhere else.
// A register that is not in the table reads zero and ignores writes.

export const CTRL = 0x0000;
export const CTRL_SLU = 0x0000_0040;
export const CTRL_RST = 0x0400_0000;
export const CTRL_PHY_RST = 0x8000_0000;
export const STATUS = 0x0008;
export const STATUS_LU = 0x0000_0002;
export const EECD = 0x0010;
export const EERD = 0x0014;
export const CTRL_EXT = 0x0018;
export const CTRL_EXT_EE_RST = 0x0000_2000;
export const CTRL_EXT_PBA_CLR = 0x8000_0000;
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
export const SWSM = 0x5b50;
export const SWSM_SMBI = 1;
export const BAR_SIZE = 0x2_0000;

export const RCTL_EN = 0x0000_0002;
export const RCTL_UPE = 0x0000_0008;
export const RCTL_MPE = 0x0000_0010;
export const RCTL_LBM = 0x0000_00c0;
export const RCTL_BAM = 0x0000_8000;
export const RCTL_SECRC = 0x0400_0000;
export const RCTL_BSEX = 0x0200_0000;
export const TCTL_EN = 0x0000_0002;
export const TCTL_PSP = 0x0000_0008;

/** Name, offset, power-on value, writable bits. */
export type RegisterRow = readonly [name: string, offset: number, reset: number, write: number];

const ALL = 0xffff_ffff;
const perQueue = (name: string, offset: number, reset: number, write: number): RegisterRow[] =>
  Array.from({ length: QUEUES }, (_, n) => [`${name}${n}`, offset + n * QUEUE_STRIDE, reset, write] as const);
const array = (name: string, offset: number, count: number, write = ALL): RegisterRow[] =>
  Array.from({ length: count }, (_, n) => [`${name}[${n}]`, offset + n * 4, 0, write] as const);

export const E1000E_REGISTERS: readonly RegisterRow[] = [
  ["CTRL", CTRL, 0x0014_0241, 0x5b9f_5bef],
  // Full duplex, link up, 1000 Mb/s in speed and detected speed, bus master requests possible.
  ["STATUS", STATUS, 0x0008_0283, 0],
  ["EECD", EECD, 0x0000_0300, 0x0000_00ff],
  ["EERD", EERD, 0x0000_0002, 0],
  ["CTRL_EXT", CTRL_EXT, 0, 0x5f78_7fff],
  ["FLA", 0x001c, 0, 0x0000_003f],
  ["MDIC", MDIC, 0, 0],
  ["FCAL", 0x0028, 0, ALL],
  ["FCAH", 0x002c, 0, 0xffff],
  ["FCT", 0x0030, 0, 0xffff],
  ["VET", 0x0038, 0x8100, 0xffff],
  ["ITR", ITR, 0, 0xffff],
  ["EIAC", EIAC, 0, 0x01f0_0000],
  ["IAM", IAM, 0, 0x9fff_ffff],
  ["IVAR", IVAR, 0, 0x800f_ffff],
  ...array("EITR", EITR, 5, 0xffff),
  ["RCTL", RCTL, 0, 0x0fff_fffe],
  ["FCTTV", 0x0170, 0, 0xffff],
  ["TCTL", TCTL, 0, 0x1fff_fffa],
  ["TIPG", 0x0410, 0x0060_2008, 0x3fff_ffff],
  ["AIT", 0x0458, 0, 0xffff],
  ["LEDCTL", 0x0e00, 0x0006_8302, 0xcfcf_cfcf],
  ["EXTCNF_CTRL", 0x0f00, 0x0000_0008, 0x0fff_00e7],
  ["EXTCNF_SIZE", 0x0f08, 0, 0x00ff_ffff],
  ["PHY_CTRL", 0x0f10, 0x0000_030d, 0x0000_7fff],
  ["PBA", 0x1000, 0x0014_0014, 0x0000_003f],
  ["PBS", 0x1008, 0x0000_0028, 0x003f_ffff],
  ["EEMNGCTL", 0x1010, 0x8000_0000, 0x0000_7fff],
  ["EEARBC", 0x1024, 0, ALL],
  ["FLASHT", 0x1028, 0x0000_0002, 0xffff],
  ["EEWR", 0x102c, 0x0000_0002, 0],
  ["FLSWCTL", 0x1030, 0xc000_0000, 0x3f00_ffff],
  ["FLSWDATA", 0x1034, 0, ALL],
  ["FLSWCNT", 0x1038, 0, ALL],
  ["FLOP", 0x103c, 0, 0xffff],
  ["FFLT_DBG", 0x1050, 0x0000_0001, 0],
  ["ERT", 0x2008, 0, 0x7fff],
  ["FCRTL", 0x2160, 0, 0x8000_fff8],
  ["FCRTH", 0x2168, 0, 0xfff8],
  ["PSRCTL", 0x2170, 0x0004_0402, 0x3f3f_3f7f],
  ...perQueue("RDBAL", RDBAL, 0, 0xffff_fff0),
  ...perQueue("RDBAH", RDBAH, 0, ALL),
  ...perQueue("RDLEN", RDLEN, 0, 0x000f_ff80),
  ...perQueue("RDH", RDH, 0, 0xffff),
  ...perQueue("RDT", RDT, 0, 0xffff),
  ["RDTR", 0x2820, 0, 0xffff],
  ...perQueue("RXDCTL", 0x2828, 0x0001_0000, 0x0103_3f3f),
  ["RADV", 0x282c, 0, 0xffff],
  ["RSRPD", 0x2c00, 0, 0x0fff],
  ["RAID", 0x2c08, 0, 0xffff],
  ["TDFH", 0x3410, 0x0000_0600, 0x1fff],
  ["TDFT", 0x3418, 0x0000_0600, 0x1fff],
  ["TDFHS", 0x3420, 0x0000_0600, 0x1fff],
  ["TDFTS", 0x3428, 0x0000_0600, 0x1fff],
  ["TDFPC", 0x3430, 0, 0x1fff],
  ...perQueue("TDBAL", TDBAL, 0, 0xffff_fff0),
  ...perQueue("TDBAH", TDBAH, 0, ALL),
  ...perQueue("TDLEN", TDLEN, 0, 0x000f_ff80),
  ...perQueue("TDH", TDH, 0, 0xffff),
  ...perQueue("TDT", TDT, 0, 0xffff),
  ["TIDV", 0x3820, 0, 0xffff],
  ...perQueue("TXDCTL", 0x3828, 0, 0xff7f_3f3f),
  ["TADV", 0x382c, 0, 0xffff],
  ...perQueue("TARC", 0x3840, 0x0000_0403, 0x7fff_ffff),
  ["RXCSUM", RXCSUM, 0x0000_0300, 0x0000_37ff],
  ["RFCTL", RFCTL, 0, 0x0003_ffff],
  ...array("MTA", MTA, 128),
  ...array("RA", RAL, 32),
  ...array("VFTA", VFTA, 128),
  ["WUC", 0x5800, 0, 0x0000_017f],
  ["WUFC", 0x5808, 0, 0x000f_83ff],
  ["WUS", 0x5810, 0, 0],
  ["MRQC", 0x5818, 0, 0xffff_0003],
  ["MANC", 0x5820, 0x1000_0000, 0xffff_ffff],
  ["IPAV", 0x5838, 0, 0x0001_000f],
  ["GCR", 0x5b00, 0x0680_0200, 0x0fff_ffff],
  ["FUNCTAG", 0x5b08, 0, ALL],
  ["FACTPS", 0x5b30, 0x2000_0004, 0x2000_0000],
  ["SWSM", SWSM, SWSM_SMBI, 0x0000_000f],
  ["FWSM", 0x5b54, 0, 0],
  ["SWSM2", 0x5b58, 0, 0x0000_0002],
  ...array("RETA", 0x5c00, 32),
  ...array("RSSRK", 0x5c80, 10),
  ["TSYNCRXCTL", 0xb620, 0, 0x0000_001e],
  ["TSYNCTXCTL", 0xb614, 0, 0x0000_0010],
  ["TIMINCA", 0xb608, 0, ALL],
  ["RXMTRL", 0xb634, 0x0000_88f7, ALL],
  ["RXUDP", 0xb638, 0x0000_0319, 0xffff],
];

/** Older names of registers, which the part still answers to: address filters and FIFO pointers. */
export const E1000E_ALIASES: ReadonlyMap<number, number> = new Map([
  ...Array.from({ length: 32 }, (_, n) => [0x0040 + n * 4, RAL + n * 4] as const),
  ...Array.from({ length: 128 }, (_, n) => [0x0200 + n * 4, MTA + n * 4] as const),
  ...Array.from({ length: 128 }, (_, n) => [0x0600 + n * 4, VFTA + n * 4] as const),
  [0x0110, RDBAL],
  [0x0114, RDBAH],
  [0x0118, RDLEN],
  [0x0120, RDH],
  [0x0128, RDT],
  [0x0420, TDBAL],
  [0x0424, TDBAH],
  [0x0428, TDLEN],
  [0x0430, TDH],
  [0x0438, TDT],
  [0x8010, 0x3410],
  [0x8018, 0x3418],
]);
