// The register file at the start of BAR 0 (NVM Express 1.4 section 3.1) and the values this controller offers.

export const NVME_REG_CAP = 0x00;
export const NVME_REG_VS = 0x08;
export const NVME_REG_INTMS = 0x0c;
export const NVME_REG_INTMC = 0x10;
export const NVME_REG_CC = 0x14;
export const NVME_REG_CSTS = 0x1c;
export const NVME_REG_AQA = 0x24;
export const NVME_REG_ASQ = 0x28;
export const NVME_REG_ACQ = 0x30;
/** Doorbells: SQ y tail at 0x1000 + 8y, CQ y head 4 bytes further (stride 0). */
export const NVME_REG_DBS = 0x1000;

export const BAR_SIZE = 0x4000;
export const MSIX_TABLE = 0x2000;
export const MSIX_PBA = 0x3000;

export const NVME_CC_ENABLE = 0x1;
export const NVME_CSTS_RDY = 0x1;
export const NVME_CSTS_CFS = 0x2;
export const NVME_CSTS_SHST_CMPLT = 0x8;
export const NVME_CSTS_SHST_MASK = 0xc;

/** Largest queue, zero based (CAP.MQES). */
export const MQES = 0x7ff;
/** CAP.MPSMAX: pages up to 64 KiB. */
export const MPS_MAX = 4;
/** MQES 2048 entries, contiguous queues required, ready within 7.5 s. */
export const CAP_LO = 0x0f01_0000 | MQES;
/** NVM command set (bit 37), pages of 4 KiB to 64 KiB. */
export const CAP_HI = (MPS_MAX << 20) | 0x20;
/** I/O command sets can be asked for (bit 43), and an administrator may do without any (bit 44). */
export const CAP_HI_COMMAND_SETS = 0x1800;
/** CC.CSS: the NVM command set, all supported ones, the administrator's alone. */
export const CSS_NVM = 0;
export const CSS_ALL = 6;
export const CSS_ADMIN = 7;
/** NVM Express 1.4. */
export const VERSION_1_4 = 0x0001_0400;

export const ccShutdown = (cc: number): number => (cc >> 14) & 3;
export const ccPageShift = (cc: number): number => 12 + ((cc >> 7) & 0xf);
export const ccCommandSet = (cc: number): number => (cc >> 4) & 7;
export const ccArbitration = (cc: number): number => (cc >> 11) & 7;
/** Entry sizes that I/O queues need: 64 and 16 bytes, as powers of two. */
export const ccSubmissionEntry = (cc: number): number => (cc >> 16) & 0xf;
export const ccCompletionEntry = (cc: number): number => (cc >> 20) & 0xf;
