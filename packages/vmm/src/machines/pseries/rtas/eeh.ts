// The RTAS calls of EEH: a guest enables it, asks for the state of its PE after reads of all ones, thaws it, resets it.
// Source: PAPR 2.7 section 7.3.11.1 (EEH), QEMU 7.2 hw/ppc/spapr_pci.c and spapr_pci_vfio.c for the answers.
// Invariants: without exactly one VFIO container of one group every call is a parameter error; the PE is named by the
// bridge, so of an address only the bus counts, and that only where a device is looked for. No call touches guest RAM
// besides its frame: there is no log to give, so the buffers of ibm,slot-error-detail stay as they are.
import type { EehContainers, EehOps } from "../eeh.ts";
import type { Phb } from "../phb.ts";
import type { RtasFrame } from "./frame.ts";
import { namesPhb } from "./pci-config.ts";
import { RTAS_OUT_HW_ERROR, RTAS_OUT_PARAM_ERROR, RTAS_OUT_SUCCESS, type RtasCall, type RtasTable } from "./table.ts";
import {
  RTAS_IBM_CONFIGURE_PE,
  RTAS_IBM_GET_CONFIG_ADDR_INFO2,
  RTAS_IBM_READ_SLOT_RESET_STATE2,
  RTAS_IBM_SET_EEH_OPTION,
  RTAS_IBM_SET_SLOT_RESET,
  RTAS_IBM_SLOT_ERROR_DETAIL,
} from "./tokens.ts";

const RTAS_EEH_DISABLE = 0;
const RTAS_EEH_ENABLE = 1;
const RTAS_EEH_THAW_IO = 2;
const RTAS_EEH_THAW_DMA = 3;

const RTAS_GET_PE_ADDR = 0;
const RTAS_GET_PE_MODE = 1;
const RTAS_PE_MODE_SHARED = 2;

const RTAS_EEH_SUPPORT = 1;
/** How long a guest waits before it asks again for an unavailable PE, in milliseconds. */
const RTAS_EEH_PE_UNAVAIL_INFO = 1000;
const RTAS_EEH_PE_RECOVER_INFO = 0;

const RTAS_SLOT_RESET_DEACTIVATE = 0;
const RTAS_SLOT_RESET_HOT = 1;
const RTAS_SLOT_RESET_FUNDAMENTAL = 3;

const RTAS_SLOT_TEMP_ERR_LOG = 1;
const RTAS_SLOT_PERM_ERR_LOG = 2;
const RTAS_OUT_NO_ERRORS_FOUND = 1;

/** Largest error log in bytes, which the tree tells a guest that has EEH (`rtas-error-log-max`). */
export const RTAS_ERROR_LOG_MAX = 2048;

/** A call that has found the PE. */
type EehHandler = (frame: RtasFrame, ops: EehOps, phb: Phb) => number;

type EehCall = Omit<RtasCall, "handler"> & { readonly run: EehHandler };

const CALLS: readonly EehCall[] = [
  { token: RTAS_IBM_SET_EEH_OPTION, name: "ibm,set-eeh-option", nargs: 4, nret: 1, run: setOption },
  { token: RTAS_IBM_GET_CONFIG_ADDR_INFO2, name: "ibm,get-config-addr-info2", nargs: 4, nret: 2, run: addressInfo },
  {
    token: RTAS_IBM_READ_SLOT_RESET_STATE2,
    name: "ibm,read-slot-reset-state2",
    nargs: 3,
    nret: [4, 5],
    run: readState,
  },
  { token: RTAS_IBM_SET_SLOT_RESET, name: "ibm,set-slot-reset", nargs: 4, nret: 1, run: setReset },
  { token: RTAS_IBM_CONFIGURE_PE, name: "ibm,configure-pe", nargs: 3, nret: 1, run: configure },
  { token: RTAS_IBM_SLOT_ERROR_DETAIL, name: "ibm,slot-error-detail", nargs: 8, nret: 1, run: errorDetail },
];

/** Names of the calls; the tree leaves them out for a guest that gets no EEH. */
export const EEH_CALL_NAMES: ReadonlySet<string> = new Set(CALLS.map(({ name }) => name));

export function registerEeh(table: RtasTable, phb: Phb, containers: EehContainers): void {
  for (const { run, ...call } of CALLS) {
    table.register({
      ...call,
      handler: (frame) => {
        const ops = namesPhb(frame) ? containers.ops : undefined;
        return ops === undefined ? RTAS_OUT_PARAM_ERROR : run(frame, ops, phb);
      },
    });
  }
}

function setOption(frame: RtasFrame, ops: EehOps, phb: Phb): number {
  switch (frame.arg(3)) {
    case RTAS_EEH_DISABLE:
      return orHardwareError(ops.disable());
    case RTAS_EEH_ENABLE:
      // Guests name a function here or their PE, so the whole bus is looked at.
      return phb.passedThrough(busOf(frame)).length > 0 ? orHardwareError(ops.enable()) : RTAS_OUT_PARAM_ERROR;
    case RTAS_EEH_THAW_IO:
      return orHardwareError(ops.thawIo());
    case RTAS_EEH_THAW_DMA:
      return orHardwareError(ops.thawDma());
    default:
      return RTAS_OUT_PARAM_ERROR;
  }
}

function addressInfo(frame: RtasFrame, _ops: EehOps, phb: Phb): number {
  switch (frame.arg(3)) {
    case RTAS_GET_PE_ADDR:
      if (phb.endpointAt(frame.arg(0)) === undefined) return RTAS_OUT_PARAM_ERROR;
      // One PE a bus; its address is that of no function.
      frame.setRet(1, (busOf(frame) << 16) | 1);
      return RTAS_OUT_SUCCESS;
    case RTAS_GET_PE_MODE:
      frame.setRet(1, RTAS_PE_MODE_SHARED);
      return RTAS_OUT_SUCCESS;
    default:
      return RTAS_OUT_PARAM_ERROR;
  }
}

function readState(frame: RtasFrame, ops: EehOps): number {
  const state = ops.state();
  if (state < 0) return RTAS_OUT_PARAM_ERROR;
  frame.setRet(1, state);
  frame.setRet(2, RTAS_EEH_SUPPORT);
  frame.setRet(3, RTAS_EEH_PE_UNAVAIL_INFO);
  frame.setRet(4, RTAS_EEH_PE_RECOVER_INFO);
  return RTAS_OUT_SUCCESS;
}

function setReset(frame: RtasFrame, ops: EehOps, phb: Phb): number {
  switch (frame.arg(3)) {
    case RTAS_SLOT_RESET_DEACTIVATE:
      return orHardwareError(ops.resetDeactivate());
    case RTAS_SLOT_RESET_HOT:
      prepareReset(phb);
      return orHardwareError(ops.resetHot());
    case RTAS_SLOT_RESET_FUNDAMENTAL:
      prepareReset(phb);
      return orHardwareError(ops.resetFundamental());
    default:
      return RTAS_OUT_PARAM_ERROR;
  }
}

function prepareReset(phb: Phb): void {
  for (const endpoint of phb.passedThrough(0)) endpoint.prepareReset?.();
}

function configure(_frame: RtasFrame, ops: EehOps): number {
  return ops.configure() < 0 ? RTAS_OUT_PARAM_ERROR : RTAS_OUT_SUCCESS;
}

function errorDetail(frame: RtasFrame): number {
  const severity = frame.arg(7);
  const known = severity === RTAS_SLOT_TEMP_ERR_LOG || severity === RTAS_SLOT_PERM_ERR_LOG;
  return known ? RTAS_OUT_NO_ERRORS_FOUND : RTAS_OUT_PARAM_ERROR;
}

function busOf(frame: RtasFrame): number {
  return (frame.arg(0) >>> 16) & 0xff;
}

function orHardwareError(result: number): number {
  return result < 0 ? RTAS_OUT_HW_ERROR : RTAS_OUT_SUCCESS;
}
