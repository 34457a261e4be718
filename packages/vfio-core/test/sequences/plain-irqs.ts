// The reference's rules of SET_IRQS and ioeventfds, by index: which mode is on, what it signals, who takes signals.
// The devices raise nothing by themselves: signals are loopback tests and the driver's request to give a device back.
import { EBADF, EBUSY, EEXIST, EINVAL, ENODEV, ENOTTY, ERANGE } from "@minivmm/host";
import type { IrqCall, Kernel } from "./calls.ts";
import { noIrqs, type PlainDevice, type PlainEvent, type PlainFile, type PlainProcess } from "./plain-objects.ts";

const NONE = 1;
const BOOL = 2;
const EVENTFD = 4;
const MASK = 8;
const UNMASK = 0x10;
const TRIGGER = 0x20;
const INTX = 0;
const MSI = 1;
const MSIX = 2;
const ERR = 3;

/** Vectors of each index, by device: INTx, MSI, MSI-X, ERR, REQ. */
export type IrqCounts = readonly [number, number, number, number, number];

export function signal(event: PlainEvent, count = 1): void {
  event.count = event.waiters > 0 ? 0 : event.count + count;
}

export class PlainInterrupts {
  readonly #kernel: Kernel;
  readonly #countsOf: (bdf: string) => IrqCounts;

  constructor(kernel: Kernel, countsOf: (bdf: string) => IrqCounts) {
    this.#kernel = kernel;
    this.#countsOf = countsOf;
  }

  set(device: PlainDevice, process: PlainProcess, call: IrqCall): number {
    const { index, flags, start, count } = call;
    if (index > 4 || flags > 0x3f) return -EINVAL;
    const available = this.#countsOf(device.fn.bdf)[index] as number;
    if (start >= available || start + count > available) return -EINVAL;
    const kind = flags & (NONE | BOOL | EVENTFD);
    if (kind !== NONE && kind !== BOOL && kind !== EVENTFD) return -EINVAL;
    const action = flags & (MASK | UNMASK | TRIGGER);
    if (index === INTX) return this.#intx(device, process, call, kind, action);
    if (action !== TRIGGER) return -ENOTTY;
    if (index === MSI || index === MSIX) return this.#messages(device, process, call, kind);
    return this.#single(device, process, call, kind);
  }

  /** Last close. */
  clear(device: PlainDevice): void {
    this.#dropUnmask(device);
    for (const file of device.irqs.ioeventfds.values()) leave(file);
    device.irqs = noIrqs();
  }

  /** The last descriptor of an eventfd went: an unmask registration ends, an ioeventfd stays without effect. */
  hungUp(device: PlainDevice, file: PlainFile): void {
    if (device.irqs.unmask === file) device.irqs.unmask = null;
  }

  ioeventfd(device: PlainDevice, process: PlainProcess, data: number, fd: number): number {
    if (fd < -1) return -EINVAL;
    const { ioeventfds } = device.irqs;
    const known = ioeventfds.get(data);
    if (known) {
      if (fd !== -1) return -EEXIST;
      ioeventfds.delete(data);
      leave(known);
      return 0;
    }
    if (fd === -1) return -ENODEV;
    const file = eventFile(process, fd);
    if (typeof file === "number") return file;
    ioeventfds.set(data, file);
    join(file);
    return 0;
  }

  #intx(device: PlainDevice, process: PlainProcess, call: IrqCall, kind: number, action: number): number {
    const { irqs } = device;
    const active = irqs.mode === INTX;
    const { start, count, data } = call;
    if (action === TRIGGER && active && count === 0 && kind === NONE) {
      this.#dropUnmask(device);
      irqs.intx = null;
      irqs.mode = -1;
      return 0;
    }
    if (action !== TRIGGER && action !== MASK && action !== UNMASK) return -ENOTTY;
    const usable = active || (action === TRIGGER && irqs.mode === -1);
    if (!usable || start !== 0 || count !== 1) return -EINVAL;
    const value = data[0] as number;
    if (action === TRIGGER && kind === EVENTFD) {
      const event = value >= 0 ? eventOf(process, value) : null;
      if (typeof event === "number") return event;
      irqs.mode = INTX;
      irqs.intx = event;
      return 0;
    }
    if (action === TRIGGER) {
      if (!active) return -EINVAL;
      if ((kind === NONE || value !== 0) && irqs.intx) signal(irqs.intx);
      return 0;
    }
    if (kind !== EVENTFD) return 0;
    if (action === MASK) return -ENOTTY;
    return this.#setUnmask(device, process, value);
  }

  #setUnmask(device: PlainDevice, process: PlainProcess, fd: number): number {
    if (fd < 0) {
      this.#dropUnmask(device);
      return 0;
    }
    const file = eventFile(process, fd);
    if (typeof file === "number") return file;
    if (device.irqs.unmask) return -EBUSY;
    device.irqs.unmask = file;
    join(file);
    return 0;
  }

  #messages(device: PlainDevice, process: PlainProcess, call: IrqCall, kind: number): number {
    const { irqs } = device;
    const { index, start, count, data } = call;
    const active = irqs.mode === index;
    if (active && count === 0 && kind === NONE) return this.#off(device);
    if (!active && irqs.mode !== -1) return -EINVAL;
    if (kind === EVENTFD) {
      if (active) return this.#block(device, process, call);
      if (start + count === 0) return -ERANGE;
      irqs.mode = index;
      irqs.size = start + count;
      irqs.allocated = new Set(Array.from({ length: irqs.size }, (_, i) => i));
      const result = this.#block(device, process, call);
      if (result < 0) this.#off(device);
      return result;
    }
    if (!active) return -EINVAL;
    if (this.#kernel !== "6.12" && start + count > irqs.size) return -EINVAL;
    for (let i = 0; i < count; i++) {
      const event = irqs.triggers.get(start + i);
      if (event && (kind === NONE || data[i] !== 0)) signal(event);
    }
    return 0;
  }

  #off(device: PlainDevice): number {
    Object.assign(device.irqs, { mode: -1, size: 0, allocated: new Set(), triggers: new Map() });
    return 0;
  }

  /** A failing vector takes those before it in the call along. */
  #block(device: PlainDevice, process: PlainProcess, { index, start, count, data }: IrqCall): number {
    const { irqs } = device;
    if (this.#kernel !== "6.12" && (start >= irqs.size || start + count > irqs.size)) return -EINVAL;
    for (let i = 0; i < count; i++) {
      const vector = start + i;
      irqs.triggers.delete(vector);
      const fd = data[i] as number;
      if (fd < 0) continue;
      // 6.12 adds vectors to MSI-X while it is on.
      const there = irqs.allocated.has(vector) || (this.#kernel === "6.12" && index === MSIX);
      if (there) irqs.allocated.add(vector);
      const event = there ? eventOf(process, fd) : -EINVAL;
      if (typeof event !== "number") {
        irqs.triggers.set(vector, event);
        continue;
      }
      for (let each = start; each <= vector; each++) irqs.triggers.delete(each);
      return event;
    }
    return 0;
  }

  #single({ irqs }: PlainDevice, process: PlainProcess, call: IrqCall, kind: number): number {
    const which = call.index === ERR ? "err" : "req";
    const event = irqs[which];
    const value = call.data[0] as number;
    if (call.start !== 0 || call.count > 1) return -EINVAL;
    if (kind === NONE) {
      if (!event) return -EINVAL;
      if (call.count > 0) signal(event);
      else irqs[which] = null;
      return 0;
    }
    if (call.count === 0) return -EINVAL;
    if (kind === BOOL) {
      if (value !== 0 && event) signal(event);
      return 0;
    }
    if (value < -1) return this.#kernel === "6.12" ? -EINVAL : 0;
    const next = value === -1 ? null : eventOf(process, value);
    if (typeof next === "number") return next;
    irqs[which] = next;
    return 0;
  }

  #dropUnmask({ irqs }: PlainDevice): void {
    if (irqs.unmask) leave(irqs.unmask);
    irqs.unmask = null;
  }
}

function eventFile(process: PlainProcess, fd: number): PlainFile | number {
  const file = process.fds.get(fd);
  if (!file) return -EBADF;
  return file.behind.kind === "eventfd" ? file : -EINVAL;
}

function eventOf(process: PlainProcess, fd: number): PlainEvent | number {
  const file = eventFile(process, fd);
  if (typeof file === "number") return file;
  return file.behind.kind === "eventfd" ? file.behind.event : -EINVAL;
}

/** A kernel user takes what is signalled from now on. */
function join(file: PlainFile): void {
  if (file.behind.kind === "eventfd") file.behind.event.waiters++;
}

/** Without descriptors there are no users left to take away. */
function leave(file: PlainFile): void {
  if (file.behind.kind === "eventfd" && file.refs > 0) file.behind.event.waiters--;
}
