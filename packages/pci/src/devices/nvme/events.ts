// Asynchronous events (NVM Express 1.4 section 5.2): requests that the host leaves with the controller and that complete
// when something happens. An event type stays masked after its report until the host reads the log page that tells more.
import { COMMAND_ABORT_REQUESTED, SUCCESS } from "./status.ts";

/** Requests the controller holds at once (identify AERL + 1). */
export const ASYNC_EVENT_SLOTS = 4;

export const EVENT_ERROR = 0;
export const EVENT_SMART = 1;
export const ERROR_INVALID_DOORBELL_REGISTER = 0;
export const ERROR_INVALID_DOORBELL_VALUE = 1;
export const SMART_TEMPERATURE = 1;

export interface LateCompletion {
  readonly cid: number;
  readonly result: number;
  readonly status: number;
}

export class AsyncEvents {
  readonly #requests: number[] = [];
  /** At most one waiting event a type: further ones of a masked type are dropped. */
  readonly #waiting = new Map<number, number>();
  readonly #masked = new Set<number>();
  /** Completions that wait for room in the admin completion queue. */
  readonly completions: LateCompletion[] = [];

  /** Keep a request. False: too many are outstanding. */
  request(cid: number): boolean {
    if (this.#requests.length >= ASYNC_EVENT_SLOTS) return false;
    this.#requests.push(cid);
    this.#match();
    return true;
  }

  /** Something happened: `info` and `logPage` as in completion dword 0. */
  report(type: number, info: number, logPage: number): void {
    if (this.#masked.has(type)) return;
    this.#masked.add(type);
    this.#waiting.set(type, type | (info << 8) | (logPage << 16));
    this.#match();
  }

  /** The host has read the log page of this type: report the next event again. */
  unmask(type: number): void {
    if (!this.#waiting.has(type)) this.#masked.delete(type);
  }

  /** Give an outstanding request back to the host. False: there is none with this id. */
  abort(cid: number): boolean {
    const at = this.#requests.indexOf(cid);
    if (at < 0) return false;
    this.#requests.splice(at, 1);
    this.completions.push({ cid, result: 0, status: COMMAND_ABORT_REQUESTED });
    return true;
  }

  reset(): void {
    this.#requests.length = 0;
    this.#waiting.clear();
    this.#masked.clear();
    this.completions.length = 0;
  }

  #match(): void {
    for (const [type, result] of this.#waiting) {
      const cid = this.#requests.shift();
      if (cid === undefined) return;
      this.#waiting.delete(type);
      this.completions.push({ cid, result, status: SUCCESS });
    }
  }
}
