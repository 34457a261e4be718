// Hypercalls of the VIO bus: H_REG_CRQ, H_FREE_CRQ, H_SEND_CRQ, H_ENABLE_CRQ, H_VIO_SIGNAL.
// Source: PAPR 2.7 sections 17.2.1 and 17.2.3; answers to bad arguments as QEMU 7.2 hw/ppc/spapr_vio.c gives them. Two
// calls know more than QEMU: a message without a registered queue finds the transport closed, and one whose answer
// could not even wait is dropped and may be sent again.

import {
  H_CLOSED,
  H_DROPPED,
  H_ENABLE_CRQ,
  H_FREE_CRQ,
  H_HARDWARE,
  H_NOT_FOUND,
  H_PARAMETER,
  H_REG_CRQ,
  H_SEND_CRQ,
  H_SUCCESS,
  H_VIO_SIGNAL,
} from "@minivmm/kvm";
import { VTY_UNIT } from "../memory-map.ts";
import type { VioBus } from "../vio/bus.ts";
import type { VioDevice } from "../vio/device.ts";
import { type HcallTable, hi, lo, type Registers, small } from "./table.ts";

const SIGNAL_MASK = 1;

export function registerVioHcalls(table: HcallTable, bus: VioBus): void {
  const unitOf = (registers: Registers): VioDevice | undefined => bus.find(small(registers, 4));
  /** The console is a unit too, though one without a queue and without signals that could be set. */
  const withoutQueue = (registers: Registers, code: number): number =>
    small(registers, 4) === VTY_UNIT ? code : H_PARAMETER;

  table.register(H_REG_CRQ, "H_REG_CRQ", (registers) => {
    const device = unitOf(registers);
    if (device === undefined) return withoutQueue(registers, H_NOT_FOUND);
    return device.crq.register(small(registers, 5), small(registers, 6));
  });

  table.register(H_FREE_CRQ, "H_FREE_CRQ", (registers) => {
    const device = unitOf(registers);
    if (device === undefined) return withoutQueue(registers, H_SUCCESS);
    device.crq.free();
    return H_SUCCESS;
  });

  table.register(H_SEND_CRQ, "H_SEND_CRQ", (registers) => {
    const device = unitOf(registers);
    if (device === undefined) return withoutQueue(registers, H_HARDWARE);
    const { crq } = device;
    if (!crq.registered) return H_CLOSED;
    crq.flush();
    if (!crq.accepting) return H_DROPPED;
    device.receive(hi(registers, 5), lo(registers, 5), hi(registers, 6), lo(registers, 6));
    return H_SUCCESS;
  });

  // Queues are suspended by partition migration only, which does not exist here.
  table.register(H_ENABLE_CRQ, "H_ENABLE_CRQ", (registers) =>
    unitOf(registers) === undefined ? withoutQueue(registers, H_SUCCESS) : H_SUCCESS,
  );

  table.register(H_VIO_SIGNAL, "H_VIO_SIGNAL", (registers) => {
    const device = unitOf(registers);
    const mode = small(registers, 5);
    if (device === undefined) return withoutQueue(registers, mode === 0 ? H_SUCCESS : H_PARAMETER);
    if (mode < 0 || mode > SIGNAL_MASK) return H_PARAMETER;
    device.setSignals(mode === SIGNAL_MASK);
    return H_SUCCESS;
  });
}
