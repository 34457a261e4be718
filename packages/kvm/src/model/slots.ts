// Memory slots of a VM: guest-physical ranges backed by the owner's memory (virt/kvm/kvm_main.c,
// __kvm_set_memory_region). Invariants: slots are page aligned and do not overlap; checks follow the kernel's order.

import { EEXIST, EINVAL } from "@minivmm/host";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../uapi.ts";
import { KVM_USER_MEM_SLOTS } from "./capabilities.ts";

export interface Slot {
  /** Guest-physical start and length, bytes. */
  readonly start: number;
  readonly size: number;
  /** User address in the VM's process. */
  readonly userAddress: number;
  readonly readonly: boolean;
}

export interface SlotRequest {
  slot: number;
  flags: number;
  guest_phys_addr: bigint;
  memory_size: bigint;
  userspace_addr: bigint;
}

const TOP = 1n << 52n;
const USER_TOP = 1n << 47n;

export class MemorySlots {
  readonly #slots = new Map<number, Slot>();
  /** Goes up with every change, for those who keep a copy. */
  version = 0;
  readonly #pageSize: bigint;
  readonly #readonlyAllowed: boolean;

  constructor(pageSize: number, readonlyAllowed: boolean) {
    this.#pageSize = BigInt(pageSize);
    this.#readonlyAllowed = readonlyAllowed;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The slots, in no order. */
  values(): Iterable<Slot> {
    return this.#slots.values();
  }

  /** KVM_SET_USER_MEMORY_REGION: 0 or -errno. */
  set(request: SlotRequest): number {
    const { slot: id, flags, guest_phys_addr: start, memory_size: size, userspace_addr: user } = request;
    const known = this.#slots.get(id);
    if (flags & ~(KVM_MEM_LOG_DIRTY_PAGES | (this.#readonlyAllowed ? KVM_MEM_READONLY : 0))) return -EINVAL;
    if (id >>> 16 !== 0) return -EINVAL;
    if (!this.#aligned(size) || !this.#aligned(start) || !this.#aligned(user)) return -EINVAL;
    if (user + size > USER_TOP || start + size > TOP || id >= KVM_USER_MEM_SLOTS) return -EINVAL;
    if (size === 0n) {
      if (!this.#slots.delete(id)) return -EINVAL;
      this.version++;
      return 0;
    }
    const readonly = (flags & KVM_MEM_READONLY) !== 0;
    const next: Slot = { start: Number(start), size: Number(size), userAddress: Number(user), readonly };
    if (known && (known.size !== next.size || known.userAddress !== next.userAddress || known.readonly !== readonly)) {
      return -EINVAL;
    }
    for (const [other, slot] of this.#slots) {
      if (other !== id && slot.start < next.start + next.size && next.start < slot.start + slot.size) return -EEXIST;
    }
    this.#slots.set(id, next);
    this.version++;
    return 0;
  }

  /** User address behind a guest-physical address; -1 when no slot holds it. */
  userAddressOf(guest: number): number {
    for (const slot of this.#slots.values()) {
      if (guest >= slot.start && guest < slot.start + slot.size) return slot.userAddress + (guest - slot.start);
    }
    return -1;
  }

  #aligned(value: bigint): boolean {
    return value % this.#pageSize === 0n;
  }
}
