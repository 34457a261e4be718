// The RTAS dispatcher: token -> handler, with the shapes that a call may have and a count per call. The device tree's
// /rtas node is made from the same table, so a call is advertised exactly when it is answered.
// Source: PAPR 2.7 chapter 7. Invariant: every frame that can be opened gets a status; an unknown token or a shape that
// a call does not have gets RTAS_OUT_PARAM_ERROR; no handler throws.
import type { GuestMemory } from "@minivmm/host";
import { RtasFrame } from "./frame.ts";

export const RTAS_OUT_SUCCESS = 0;
export const RTAS_OUT_HW_ERROR = -1;
export const RTAS_OUT_PARAM_ERROR = -3;

/** Returns the status; writes further results itself. */
export type RtasHandler = (frame: RtasFrame) => number;

export interface RtasCall {
  readonly token: number;
  /** Name of the token's property in the device tree. */
  readonly name: string;
  readonly nargs: number;
  readonly nret: number | readonly [least: number, most: number];
  readonly handler: RtasHandler;
}

export class RtasTable {
  unknown = 0;
  private readonly calls = new Map<number, RtasCall>();
  private readonly counters = new Map<number, number>();
  private readonly frame: RtasFrame;

  constructor(ram: GuestMemory) {
    this.frame = new RtasFrame(ram);
  }

  register(call: RtasCall): void {
    this.calls.set(call.token, call);
  }

  /** Serves the frame at a guest real address. Returns the status, RTAS_OUT_PARAM_ERROR too when there is no frame. */
  dispatch(address: number): number {
    const { frame } = this;
    if (!frame.open(address)) {
      this.unknown++;
      return RTAS_OUT_PARAM_ERROR;
    }
    const call = this.calls.get(frame.token);
    let status = RTAS_OUT_PARAM_ERROR;
    if (call === undefined) {
      this.unknown++;
    } else {
      this.counters.set(call.token, (this.counters.get(call.token) ?? 0) + 1);
      if (fits(call, frame)) status = call.handler(frame);
    }
    frame.setRet(0, status);
    return status;
  }

  /** Token properties for the device tree. */
  tokens(): Record<string, number> {
    return Object.fromEntries([...this.calls.values()].map(({ name, token }) => [name, token]));
  }

  counts(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [token, count] of this.counters) out[this.calls.get(token)!.name] = count;
    if (this.unknown > 0) out["(unknown)"] = this.unknown;
    return out;
  }
}

function fits(call: RtasCall, frame: RtasFrame): boolean {
  const [least, most] = typeof call.nret === "number" ? [call.nret, call.nret] : call.nret;
  return frame.nargs === call.nargs && frame.nret >= least && frame.nret <= most;
}
