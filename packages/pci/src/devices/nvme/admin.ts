// The admin command set (NVM Express 1.4 section 5). Optional commands that this controller lacks (namespace management,
// firmware, format, security, directives, doorbell buffers) are invalid opcodes.
import type { CommandContext } from "./context.ts";
import { IDENTIFY_SIZE, identify } from "./identify.ts";
import { getLogPage } from "./log-pages.ts";
import {
  createCompletionQueue,
  createSubmissionQueue,
  deleteCompletionQueue,
  deleteSubmissionQueue,
} from "./queue-commands.ts";
import * as status from "./status.ts";

const DELETE_SQ = 0x00;
const CREATE_SQ = 0x01;
const GET_LOG_PAGE = 0x02;
const DELETE_CQ = 0x04;
const CREATE_CQ = 0x05;
const IDENTIFY = 0x06;
const ABORT = 0x08;
const SET_FEATURES = 0x09;
const GET_FEATURES = 0x0a;
const ASYNC_EVENT = 0x0c;

/** Execute one admin command. Returns a status; the result dword goes to `controller.result`. */
export function adminCommand(controller: CommandContext, sqe: Uint32Array): number {
  switch (sqe[0]! & 0xff) {
    case DELETE_SQ:
      return deleteSubmissionQueue(controller, sqe);
    case CREATE_SQ:
      return createSubmissionQueue(controller, sqe);
    case GET_LOG_PAGE:
      return getLogPage(controller, sqe);
    case DELETE_CQ:
      return deleteCompletionQueue(controller, sqe);
    case CREATE_CQ:
      return createCompletionQueue(controller, sqe);
    case IDENTIFY:
      return identifyCommand(controller, sqe);
    case ABORT:
      return abort(controller, sqe[10]!);
    case SET_FEATURES:
      return controller.features.set(controller, sqe[10]!, sqe[11]!);
    case GET_FEATURES:
      return controller.features.get(controller, sqe[10]!, sqe[11]!);
    case ASYNC_EVENT:
      return controller.events.request(sqe[0]! >>> 16) ? status.NO_COMPLETION : status.ASYNC_EVENT_LIMIT;
    default:
      return status.INVALID_OPCODE;
  }
}

function identifyCommand(controller: CommandContext, sqe: Uint32Array): number {
  const { transfer, device, settings } = controller;
  const mapped = transfer.map(device.dma, sqe, IDENTIFY_SIZE, controller.pageSize);
  if (mapped !== status.SUCCESS) return mapped;
  const request = { cns: sqe[10]! & 0xff, nsid: sqe[1]!, csi: sqe[11]! >>> 24 };
  const result = identify(settings, controller.disk.readonly, request, transfer.buffer);
  if (result !== status.SUCCESS) return result;
  return transfer.toMemory(device.dma) ? status.SUCCESS : status.DATA_TRANSFER_ERROR;
}

/** Commands complete as soon as they are fetched, so only an event request can still be outstanding. */
function abort(controller: CommandContext, cdw10: number): number {
  const aborted = (cdw10 & 0xffff) === 0 && controller.events.abort(cdw10 >>> 16);
  controller.result = aborted ? 0 : 1;
  return status.SUCCESS;
}
