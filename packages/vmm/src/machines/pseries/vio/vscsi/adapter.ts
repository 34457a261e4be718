// The virtual SCSI adapter (spapr-vscsi): an SRP target whose transport is a CRQ. A message names an information unit in
// the client's memory; it is fetched, answered at once, the answer goes to the same place and a message says so.
// Source: PAPR 2.7 section 17.3, SRP revision 16a; Linux drivers/scsi/ibmvscsi and QEMU 7.2 hw/scsi/spapr_vscsi.c for what
// clients rely on (response placement, tags, request limit, unit attention after a reset).
// Invariants: every unit that could be fetched is answered exactly once; commands are complete when their answer is
// posted, so there is never anything left to abort; nothing here throws, whatever the guest sends.

import { CRQ_ELEMENT_BYTES } from "../crq.ts";
import { VioDevice, type VioPlatform } from "../device.ts";
import { CDB_BYTES, CHECK_CONDITION, GOOD } from "../scsi/command.ts";
import { BLOCK_BYTES, MAXIMUM_BLOCKS } from "../scsi/disk.ts";
import { FIXED_SENSE_BYTES, putFixedSense, SENSE_NONE } from "../scsi/sense.ts";
import { SrpData } from "./buffers.ts";
import { decodeLun } from "./lun.ts";
import { Mad } from "./mad.ts";
import * as srp from "./srp.ts";
import { CMD, IU_TAG, IU_TAG_BYTES, LOGIN_REJ, LOGIN_REQ, LOGIN_RSP, RSP, SRP_MAX_IU_LEN, TSK_MGMT } from "./srp.ts";
import { LogicalUnits } from "./units.ts";

/** 65536 pages of 4 KiB, as drivers know the device. */
const WINDOW_BYTES = 0x1000_0000;
/** Requests that a client may have under way: fewer than answers that can wait (WAITING_MAX), with room for management. */
const REQUEST_LIMIT = 62;
const RESPONSE_DATA_BYTES = 4;
const SOL_NOT_SUCCESS = 0x02;
const SOL_NOT_FAILURE = 0x04;

export interface VscsiCounters {
  /** Messages that were understood. */
  messages: number;
  /** Messages that mean nothing here. */
  ignored: number;
  /** Information units that could not be fetched or answered, or made no sense. */
  refused: number;
}

export class VscsiAdapter extends VioDevice {
  readonly counters: VscsiCounters = { messages: 0, ignored: 0, refused: 0 };
  readonly units = new LogicalUnits();
  private readonly mad: Mad;
  private readonly data: SrpData;
  /** The unit under way, zero behind its end. */
  private readonly iu = new Uint8Array(SRP_MAX_IU_LEN);
  private readonly cdb = this.iu.subarray(CMD.cdb, CMD.cdb + CDB_BYTES);
  private readonly reply = new Uint8Array(SRP_MAX_IU_LEN);
  private readonly replyView = new DataView(this.reply.buffer);
  private readonly element = new Uint8Array(CRQ_ELEMENT_BYTES);
  /** Where the unit under way came from, and the answer goes to. */
  private hi = 0;
  private lo = 0;

  constructor(name: string, unit: number, platform: VioPlatform) {
    super(name, unit, platform, {
      node: "v-scsi",
      deviceType: "vscsi",
      compatible: "IBM,v-scsi",
      windowBytes: WINDOW_BYTES,
      properties: { "#address-cells": 2, "#size-cells": 0 },
    });
    this.mad = new Mad(this.dma, MAXIMUM_BLOCKS * BLOCK_BYTES);
    this.data = new SrpData(this.dma);
  }

  receive(w0: number, w1: number, w2: number, w3: number): void {
    const valid = w0 >>> 24;
    const format = (w0 >>> 16) & 0xff;
    const carriesUnit = format === srp.VIOSRP_SRP_FORMAT || format === srp.VIOSRP_MAD_FORMAT;
    if (valid === srp.VIOSRP_CRQ_INIT_RSP && format === srp.VIOSRP_CRQ_INIT) this.initialised();
    else if (valid === srp.VIOSRP_CRQ_CMD_RSP && carriesUnit) this.unitArrived(format, w1 & 0xffff, w2, w3);
    else {
      this.counters.ignored++;
      return;
    }
    this.counters.messages++;
  }

  override reset(): void {
    super.reset();
    this.units.reset();
  }

  override close(): void {
    this.units.close();
  }

  private initialised(): void {
    this.element.fill(0);
    this.element[0] = srp.VIOSRP_CRQ_INIT_RSP;
    this.element[1] = srp.VIOSRP_CRQ_INIT_COMPLETE;
    this.crq.post(this.element);
  }

  /** Fetches a unit and answers it. One that is too long is known by its tag only, one that cannot be had by nothing. */
  private unitArrived(format: number, length: number, hi: number, lo: number): void {
    const { iu } = this;
    this.hi = hi;
    this.lo = lo;
    iu.fill(0);
    const tooLong = length > SRP_MAX_IU_LEN;
    const fetched = tooLong ? IU_TAG + IU_TAG_BYTES : length;
    if (!this.dma.read(hi, lo, fetched === SRP_MAX_IU_LEN ? iu : iu.subarray(0, fetched))) {
      iu.fill(0);
      this.refuse(format, srp.VIOSRP_ADAPTER_FAIL);
    } else if (tooLong) {
      this.refuse(format, srp.VIOSRP_VIOLATES_MAX_XFER);
    } else if (format === srp.VIOSRP_MAD_FORMAT) {
      this.send(format, iu, this.mad.answer(iu, length));
    } else {
      this.reply.fill(0);
      this.reply.set(iu.subarray(IU_TAG, IU_TAG + IU_TAG_BYTES), IU_TAG);
      this.send(format, this.reply, this.answerSrp(length));
    }
  }

  /** Fills in the answer to the SRP unit under way. Returns its length. */
  private answerSrp(length: number): number {
    switch (this.iu[0]) {
      case srp.SRP_LOGIN_REQ:
        return length < LOGIN_REQ.bytes ? this.invalid() : this.login();
      case srp.SRP_CMD:
        return length < CMD.add_data ? this.invalid() : this.command(length);
      case srp.SRP_TSK_MGMT:
        return length < TSK_MGMT.bytes ? this.invalid() : this.taskManagement();
      case srp.SRP_I_LOGOUT:
        // A client that logs out sends nothing more; what it sends nevertheless is answered as before.
        return this.response(srp.SRP_TSK_MGMT_COMPLETE);
      default:
        return this.invalid();
    }
  }

  private login(): number {
    const request = new DataView(this.iu.buffer);
    const { replyView: view } = this;
    const formats = request.getUint16(LOGIN_REQ.buf_fmt);
    let reason = 0;
    if (request.getUint32(LOGIN_REQ.it_iu_len) > SRP_MAX_IU_LEN) reason = srp.SRP_LOGIN_REJ_REQ_IT_IU_LENGTH_TOO_LARGE;
    else if ((formats & SUPPORTED_FORMATS) === 0) reason = srp.SRP_LOGIN_REJ_UNSUPPORTED_DESCRIPTOR_FMT;
    if (reason !== 0) {
      this.counters.refused++;
      this.reply[0] = srp.SRP_LOGIN_REJ;
      view.setUint32(LOGIN_REJ.reason, reason);
      view.setUint16(LOGIN_REJ.buf_fmt, SUPPORTED_FORMATS);
      return LOGIN_REJ.bytes;
    }
    this.reply[0] = srp.SRP_LOGIN_RSP;
    view.setUint32(LOGIN_RSP.req_lim_delta, REQUEST_LIMIT);
    view.setUint32(LOGIN_RSP.max_it_iu_len, SRP_MAX_IU_LEN);
    view.setUint32(LOGIN_RSP.max_ti_iu_len, SRP_MAX_IU_LEN);
    view.setUint16(LOGIN_RSP.buf_fmt, SUPPORTED_FORMATS);
    return LOGIN_RSP.bytes;
  }

  private command(length: number): number {
    const { data, reply, replyView: view } = this;
    let sense = data.load(this.iu, length);
    if (sense === SENSE_NONE) sense = this.units.execute(decodeLun(this.iu, CMD.lun), this.cdb, data);
    const good = sense === SENSE_NONE;
    this.begin(good, CMD.sol_not);
    reply[RSP.status] = good ? GOOD : CHECK_CONDITION;
    this.residual(data.out.moved, data.out.total, data.out.total, RSP.data_out_res_cnt, srp.SRP_RSP_FLAG_DOUNDER, 0);
    const { moved, total, wanted } = data.in;
    this.residual(moved, total, wanted, RSP.data_in_res_cnt, srp.SRP_RSP_FLAG_DIUNDER, srp.SRP_RSP_FLAG_DIOVER);
    if (good) return RSP.data;
    reply[RSP.flags]! |= srp.SRP_RSP_FLAG_SNSVALID;
    view.setUint32(RSP.sense_data_len, FIXED_SENSE_BYTES);
    putFixedSense(reply, RSP.data, sense);
    return RSP.data + FIXED_SENSE_BYTES;
  }

  /** Notes bytes that the client's buffers had too many of (under) or too few (over). */
  private residual(moved: number, total: number, wanted: number, at: number, under: number, over: number): void {
    const difference = wanted > total ? wanted - total : total - moved;
    if (difference === 0) return;
    this.reply[RSP.flags]! |= wanted > total ? over : under;
    this.replyView.setUint32(at, Math.min(difference, 0xffffffff));
  }

  /** Everything that could be aborted has been answered already; a unit that is reset tells its next command. */
  private taskManagement(): number {
    const unit = this.units.at(decodeLun(this.iu, TSK_MGMT.lun));
    if (unit === undefined) return this.invalid();
    switch (this.iu[TSK_MGMT.func]) {
      case srp.SRP_TSK_LUN_RESET:
        unit.reset();
        return this.response(srp.SRP_TSK_MGMT_COMPLETE);
      case srp.SRP_TSK_ABORT_TASK:
      case srp.SRP_TSK_ABORT_TASK_SET:
      case srp.SRP_TSK_CLEAR_TASK_SET:
        return this.response(srp.SRP_TSK_MGMT_COMPLETE);
      case srp.SRP_TSK_CLEAR_ACA:
        return this.response(srp.SRP_TSK_MGMT_NOT_SUPPORTED);
      default:
        return this.invalid();
    }
  }

  private invalid(): number {
    this.counters.refused++;
    return this.response(srp.SRP_REQUEST_FIELDS_INVALID);
  }

  /** An answer that is a response code and no SCSI status. */
  private response(code: number): number {
    this.begin(code === srp.SRP_TSK_MGMT_COMPLETE, TSK_MGMT.sol_not);
    this.reply[RSP.flags] = srp.SRP_RSP_FLAG_RSPVALID;
    this.replyView.setUint32(RSP.resp_data_len, RESPONSE_DATA_BYTES);
    this.reply[RSP.data + 3] = code;
    return RSP.data + RESPONSE_DATA_BYTES;
  }

  private begin(good: boolean, solNotAt: number): void {
    this.reply[0] = srp.SRP_RSP;
    this.reply[RSP.sol_not] = (this.iu[solNotAt]! & (good ? SOL_NOT_SUCCESS : SOL_NOT_FAILURE)) !== 0 ? 1 : 0;
    this.replyView.setUint32(RSP.req_lim_delta, 1);
  }

  /** Puts an answer where the unit was and posts the message about it. */
  private send(format: number, answer: Uint8Array, length: number): void {
    const written = this.dma.write(this.hi, this.lo, answer.subarray(0, length));
    if (!written) this.counters.refused++;
    this.post(format, written ? srp.VIOSRP_OK : srp.VIOSRP_ADAPTER_FAIL, length);
  }

  private refuse(format: number, status: number): void {
    this.counters.refused++;
    this.post(format, status, 0);
  }

  private post(format: number, status: number, length: number): void {
    const { element } = this;
    element[0] = srp.VIOSRP_CRQ_CMD_RSP;
    element[1] = format;
    element[2] = 0;
    element[3] = status;
    element[4] = 0;
    element[5] = 0;
    element[6] = length >>> 8;
    element[7] = length;
    element.set(this.iu.subarray(IU_TAG, IU_TAG + IU_TAG_BYTES), 8);
    this.crq.post(element);
  }
}

const SUPPORTED_FORMATS = srp.SRP_BUF_FORMAT_DIRECT | srp.SRP_BUF_FORMAT_INDIRECT;
