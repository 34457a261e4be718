// KVM_IOEVENTFD: guest writes that become eventfd signals (virt/kvm/eventfd.c, kvm_ioeventfd).
// Invariant: two entries never match the same write: same bus and address collide when either takes any width, or when
// widths agree and the values may.

import { EEXIST, EINVAL, ENOENT, type StructValue } from "@minivmm/host";
import type { EventFd, ModelProcess } from "@minivmm/host/model";
import {
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  type kvm_ioeventfd,
} from "../uapi.ts";
import { eventOf } from "./irqfd.ts";

interface Entry {
  event: EventFd;
  port: boolean;
  address: bigint;
  length: number;
  /** null: any value. */
  match: bigint | null;
}

const WIDTHS = [0, 1, 2, 4, 8];
const KNOWN_FLAGS = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN;

export class IoEventFds {
  readonly #entries = new Set<Entry>();

  get size(): number {
    return this.#entries.size;
  }

  /** 0 or -errno, in the kernel's order of checks. */
  set(process: ModelProcess, request: StructValue<typeof kvm_ioeventfd>): number {
    const { flags, len: length, addr: address } = request;
    const port = (flags & KVM_IOEVENTFD_FLAG_PIO) !== 0;
    const match = flags & KVM_IOEVENTFD_FLAG_DATAMATCH ? request.datamatch : null;
    if (flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
      return this.#deassign(process, request.fd, { port, address, length, match });
    if (!WIDTHS.includes(length)) return -EINVAL;
    if (BigInt.asUintN(64, address + BigInt(length)) < address) return -EINVAL;
    if (flags & ~KNOWN_FLAGS) return -EINVAL;
    if (length === 0 && match !== null) return -EINVAL;
    const event = eventOf(process, request.fd);
    if (typeof event === "number") return event;
    const entry: Entry = { event, port, address, length, match };
    for (const other of this.#entries) if (collide(entry, other)) return -EEXIST;
    this.#entries.add(entry);
    return 0;
  }

  #deassign(process: ModelProcess, fd: number, wanted: Omit<Entry, "event">): number {
    const event = eventOf(process, fd);
    if (typeof event === "number") return event;
    for (const entry of this.#entries) {
      const same = entry.event === event && entry.port === wanted.port && entry.address === wanted.address;
      if (same && entry.length === wanted.length && entry.match === wanted.match) {
        this.#entries.delete(entry);
        return 0;
      }
    }
    return -ENOENT;
  }

  /** A guest write: true when an eventfd took it. */
  write(port: boolean, address: bigint, length: number, value: bigint): boolean {
    for (const entry of this.#entries) {
      if (entry.port !== port || entry.address !== address) continue;
      if (entry.length !== 0 && entry.length !== length) continue;
      if (entry.match !== null && entry.match !== value) continue;
      entry.event.signal();
      return true;
    }
    return false;
  }

  close(): void {
    this.#entries.clear();
  }
}

function collide(a: Entry, b: Entry): boolean {
  if (a.port !== b.port || a.address !== b.address) return false;
  if (a.length === 0 || b.length === 0) return true;
  return a.length === b.length && (a.match === null || b.match === null || a.match === b.match);
}
