// Get Features and Set Features (NVM Express 1.4 section 5.21). None can be saved; the defaults come back with a reset.
import { type AsyncEvents, EVENT_SMART, SMART_TEMPERATURE } from "./events.ts";
import type { NvmeSettings } from "./settings.ts";
import { COMMAND_SEQUENCE_ERROR, FEATURE_NOT_SAVEABLE, INVALID_FIELD, SUCCESS } from "./status.ts";

const ARBITRATION = 0x01;
const POWER_MANAGEMENT = 0x02;
const TEMPERATURE_THRESHOLD = 0x04;
const ERROR_RECOVERY = 0x05;
const VOLATILE_WRITE_CACHE = 0x06;
const NUMBER_OF_QUEUES = 0x07;
const INTERRUPT_COALESCING = 0x08;
const INTERRUPT_VECTOR = 0x09;
const WRITE_ATOMICITY = 0x0a;
const ASYNC_EVENTS = 0x0b;
/** Which combination of I/O command sets: there is one, number 0. */
const COMMAND_SET_PROFILE = 0x19;

/** Kelvin. */
export const TEMPERATURE = 303;
export const WARNING_TEMPERATURE = 343;
export const CRITICAL_TEMPERATURE = 373;
const SELECT_CAPABILITIES = 3;
const CHANGEABLE = 4;
const PER_NAMESPACE = 2;

/** Bits that a host may set, for features whose value is simply kept. */
const KEPT = new Map<number, number>([
  [ARBITRATION, 0xffffff07],
  [POWER_MANAGEMENT, 0xff],
  [ERROR_RECOVERY, 0xffff],
  [VOLATILE_WRITE_CACHE, 1],
  [INTERRUPT_COALESCING, 0xffff],
  [WRITE_ATOMICITY, 1],
  [ASYNC_EVENTS, 0xffff],
]);
const DEFAULTS = new Map<number, number>([
  [ARBITRATION, 7],
  [VOLATILE_WRITE_CACHE, 1],
]);

/** What a feature command needs of its controller. */
export interface FeatureHost {
  readonly settings: NvmeSettings;
  readonly events: AsyncEvents;
  readonly hasIoQueues: boolean;
  /** Dword 0 of the completion. */
  result: number;
}

export class Features {
  readonly #values = new Map(DEFAULTS);
  readonly #coalescingOff: Uint8Array;
  #over = WARNING_TEMPERATURE;
  #under = 0;

  constructor(vectors: number) {
    this.#coalescingOff = new Uint8Array(vectors);
  }

  get writeCache(): boolean {
    return this.#values.get(VOLATILE_WRITE_CACHE) === 1;
  }

  /** SMART critical warning bit 1: the temperature is outside the thresholds. */
  get temperatureAlarm(): boolean {
    return TEMPERATURE >= this.#over || TEMPERATURE <= this.#under;
  }

  reset(): void {
    this.#values.clear();
    for (const [id, value] of DEFAULTS) this.#values.set(id, value);
    this.#coalescingOff.fill(0);
    this.#over = WARNING_TEMPERATURE;
    this.#under = 0;
  }

  /** Set Features: dwords 10 and 11. */
  set(controller: FeatureHost, cdw10: number, value: number): number {
    const id = cdw10 & 0xff;
    if (cdw10 >>> 31) return FEATURE_NOT_SAVEABLE;
    switch (id) {
      case COMMAND_SET_PROFILE:
        return controller.settings.commandSets && (value & 0x1ff) === 0 ? SUCCESS : INVALID_FIELD;
      case NUMBER_OF_QUEUES:
        return setQueueCount(controller, value);
      case TEMPERATURE_THRESHOLD:
        return this.#setTemperature(controller, value);
      case INTERRUPT_VECTOR:
        if ((value & 0xffff) >= this.#coalescingOff.length) return INVALID_FIELD;
        this.#coalescingOff[value & 0xffff] = (value >>> 16) & 1;
        return SUCCESS;
    }
    const mask = KEPT.get(id);
    // Power state 0 is the only one, and no namespace reports deallocated blocks as errors.
    if (mask === undefined || (id === POWER_MANAGEMENT && value & 0x1f) || (id === ERROR_RECOVERY && value & 0x10000)) {
      return INVALID_FIELD;
    }
    this.#values.set(id, (value & mask) >>> 0);
    return SUCCESS;
  }

  /** Get Features: the value goes to the controller's result. */
  get(controller: FeatureHost, cdw10: number, cdw11: number): number {
    const id = cdw10 & 0xff;
    const select = (cdw10 >> 8) & 7;
    const profile = id === COMMAND_SET_PROFILE && controller.settings.commandSets;
    const known = profile || KEPT.has(id) || [NUMBER_OF_QUEUES, TEMPERATURE_THRESHOLD, INTERRUPT_VECTOR].includes(id);
    if (!known || select > SELECT_CAPABILITIES) return INVALID_FIELD;
    if (select === SELECT_CAPABILITIES) {
      controller.result = CHANGEABLE | (id === ERROR_RECOVERY ? PER_NAMESPACE : 0);
      return SUCCESS;
    }
    return this.#read(controller, id, cdw11, select === 0);
  }

  #read(controller: FeatureHost, id: number, cdw11: number, current: boolean): number {
    switch (id) {
      case NUMBER_OF_QUEUES: {
        const last = controller.settings.queues - 1;
        controller.result = last | (last << 16);
        return SUCCESS;
      }
      case TEMPERATURE_THRESHOLD: {
        const sensor = (cdw11 >> 16) & 0xf;
        const type = (cdw11 >> 20) & 3;
        if (sensor !== 0 || type > 1) return INVALID_FIELD;
        const threshold = type === 0 ? this.#over : this.#under;
        controller.result = current ? threshold : type === 0 ? WARNING_TEMPERATURE : 0;
        return SUCCESS;
      }
      case INTERRUPT_VECTOR: {
        const vector = cdw11 & 0xffff;
        if (vector >= this.#coalescingOff.length) return INVALID_FIELD;
        controller.result = vector | (current ? this.#coalescingOff[vector]! << 16 : 0);
        return SUCCESS;
      }
      default:
        controller.result = (current ? this.#values.get(id) : DEFAULTS.get(id)) ?? 0;
        return SUCCESS;
    }
  }

  #setTemperature(controller: FeatureHost, value: number): number {
    const sensor = (value >> 16) & 0xf;
    const type = (value >> 20) & 3;
    // Sensor 0 is the composite temperature, 0xf means all of them.
    if ((sensor !== 0 && sensor !== 0xf) || type > 1) return INVALID_FIELD;
    if (type === 0) this.#over = value & 0xffff;
    else this.#under = value & 0xffff;
    const wanted = (this.#values.get(ASYNC_EVENTS) ?? 0) & 2;
    if (wanted && this.temperatureAlarm) controller.events.report(EVENT_SMART, SMART_TEMPERATURE, 2);
    return SUCCESS;
  }
}

/** Grant what is asked, at most what there is; 0-based, completion queues in the upper half. */
function setQueueCount(controller: FeatureHost, value: number): number {
  const submissions = value & 0xffff;
  const completions = value >>> 16;
  if (submissions === 0xffff || completions === 0xffff) return INVALID_FIELD;
  if (controller.hasIoQueues) return COMMAND_SEQUENCE_ERROR;
  const last = controller.settings.queues - 1;
  controller.result = (Math.min(submissions, last) | (Math.min(completions, last) << 16)) >>> 0;
  return SUCCESS;
}
