// SRP as virtual SCSI speaks it: numbers, and where fields lie in information units (IUs). Offsets in bytes, all fields
// big-endian. Source: SRP revision 16a (T10 project 1415-D); C names as in Linux include/scsi/srp.h and viosrp.h.

/** An IU of virtual SCSI, in either direction. */
export const SRP_MAX_IU_LEN = 256;
export const SRP_VERSION = "16.a";

// First byte of a CRQ element, and second byte of one that begins a conversation.
export const VIOSRP_CRQ_CMD_RSP = 0x80;
export const VIOSRP_CRQ_INIT_RSP = 0xc0;
export const VIOSRP_CRQ_INIT = 0x01;
export const VIOSRP_CRQ_INIT_COMPLETE = 0x02;

// Second byte of one that carries an IU.
export const VIOSRP_SRP_FORMAT = 0x01;
export const VIOSRP_MAD_FORMAT = 0x02;

// Status byte of a CRQ element.
export const VIOSRP_OK = 0x00;
export const VIOSRP_VIOLATES_MAX_XFER = 0x02;
export const VIOSRP_ADAPTER_FAIL = 0x10;

export const SRP_LOGIN_REQ = 0x00;
export const SRP_TSK_MGMT = 0x01;
export const SRP_CMD = 0x02;
export const SRP_I_LOGOUT = 0x03;
export const SRP_LOGIN_RSP = 0xc0;
export const SRP_RSP = 0xc1;
export const SRP_LOGIN_REJ = 0xc2;

export const SRP_BUF_FORMAT_DIRECT = 1 << 1;
export const SRP_BUF_FORMAT_INDIRECT = 1 << 2;
export const SRP_LOGIN_REJ_REQ_IT_IU_LENGTH_TOO_LARGE = 0x0001_0002;
export const SRP_LOGIN_REJ_UNSUPPORTED_DESCRIPTOR_FMT = 0x0001_0004;

export const SRP_NO_DATA_DESC = 0;
export const SRP_DATA_DESC_DIRECT = 1;
export const SRP_DATA_DESC_INDIRECT = 2;

export const SRP_TSK_ABORT_TASK = 0x01;
export const SRP_TSK_ABORT_TASK_SET = 0x02;
export const SRP_TSK_CLEAR_TASK_SET = 0x04;
export const SRP_TSK_LUN_RESET = 0x08;
export const SRP_TSK_CLEAR_ACA = 0x40;

// Response codes, in the fourth byte of response data.
export const SRP_TSK_MGMT_COMPLETE = 0;
export const SRP_REQUEST_FIELDS_INVALID = 2;
export const SRP_TSK_MGMT_NOT_SUPPORTED = 4;

export const SRP_RSP_FLAG_RSPVALID = 1 << 0;
export const SRP_RSP_FLAG_SNSVALID = 1 << 1;
export const SRP_RSP_FLAG_DOUNDER = 1 << 3;
export const SRP_RSP_FLAG_DIOVER = 1 << 4;
export const SRP_RSP_FLAG_DIUNDER = 1 << 5;

/** Every IU has its opcode first and its tag, which only its sender understands, here. */
export const IU_TAG = 8;
export const IU_TAG_BYTES = 8;

export const LOGIN_REQ = { it_iu_len: 16, buf_fmt: 24, bytes: 64 } as const;
export const LOGIN_RSP = { req_lim_delta: 4, max_it_iu_len: 16, max_ti_iu_len: 20, buf_fmt: 24, bytes: 52 } as const;
export const LOGIN_REJ = { reason: 4, buf_fmt: 24, bytes: 32 } as const;
export const TSK_MGMT = { sol_not: 1, lun: 20, func: 30, bytes: 48 } as const;
export const CMD = {
  sol_not: 1,
  buf_fmt: 5,
  data_out_desc_cnt: 6,
  data_in_desc_cnt: 7,
  lun: 20,
  add_cdb_len: 31,
  cdb: 32,
  add_data: 48,
} as const;
export const RSP = {
  sol_not: 1,
  req_lim_delta: 4,
  flags: 18,
  status: 19,
  data_out_res_cnt: 20,
  data_in_res_cnt: 24,
  sense_data_len: 28,
  resp_data_len: 32,
  data: 36,
} as const;
/** srp_direct_buf: address (8), key (4), length (4). */
export const DIRECT_BUF_BYTES = 16;
/** srp_indirect_buf before its list: a direct descriptor of the table, and the total length. */
export const INDIRECT_BUF_BYTES = 20;
