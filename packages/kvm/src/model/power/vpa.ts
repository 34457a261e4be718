// Per-processor areas that a guest shares with its hypervisor: VPA (virtual processor area, struct lppaca), dispatch trace
// log and SLB shadow. Source: arch/powerpc/kvm/book3s_hv.c (do_h_register_vpa, kvmppc_update_vpa, set_vpa).
// A registered area is taken into use when the guest is next entered; the yield count in the VPA is even while it runs.
// Limit: no entries are written into the dispatch trace log, and its index in the VPA stays 0.

import { EINVAL } from "@minivmm/host";
import { H_PARAMETER, H_RESOURCE, H_SUCCESS } from "../../uapi-papr.ts";
import type { EngineMemory } from "./engine.ts";

const REGISTER_VPA = 1;
const REGISTER_DTL = 2;
const REGISTER_SLB = 3;
const DEREGISTER_VPA = 5;
const DEREGISTER_DTL = 6;
const DEREGISTER_SLB = 7;

const CACHE_LINE = 128;
const LENGTH_OFFSET = 4;
const SMALLEST = 8;
const LPPACA_BYTES = 640;
const DTL_ENTRY_BYTES = 48;
const OLD_STATUS = 9;
const OLD_STATUS_SHARED = 2;
const YIELD_COUNT = 0x100;

export interface SharedArea {
  address: number;
  length: number;
}

export class VirtualProcessorAreas {
  readonly vpa: SharedArea = { address: 0, length: 0 };
  readonly dtl: SharedArea = { address: 0, length: 0 };
  readonly slbShadow: SharedArea = { address: 0, length: 0 };
  readonly #memory: EngineMemory;
  #pending = false;
  #pinned: Uint8Array | null = null;

  constructor(memory: EngineMemory) {
    this.#memory = memory;
  }

  /** H_REGISTER_VPA: `what` is the function in bits 16 to 18 of the flags. */
  register(what: number, address: number): number {
    if (what === REGISTER_VPA || what === REGISTER_DTL || what === REGISTER_SLB) {
      if (address <= 0 || address % CACHE_LINE !== 0) return H_PARAMETER;
      const page = this.#toPageEnd(address);
      if (!page) return H_PARAMETER;
      const view = new DataView(page.buffer, page.byteOffset);
      const length = what === REGISTER_VPA ? view.getUint16(LENGTH_OFFSET) : view.getUint32(LENGTH_OFFSET);
      if (length > page.length || length < SMALLEST) return H_PARAMETER;
      return this.#take(what, address, length);
    }
    switch (what) {
      case DEREGISTER_VPA:
        if (this.dtl.address !== 0 || this.slbShadow.address !== 0) return H_RESOURCE;
        return this.#assign(this.vpa, 0, 0);
      case DEREGISTER_DTL:
        return this.#assign(this.dtl, 0, 0);
      case DEREGISTER_SLB:
        return this.#assign(this.slbShadow, 0, 0);
      default:
        return H_PARAMETER;
    }
  }

  #take(what: number, address: number, length: number): number {
    if (what === REGISTER_VPA) return length < LPPACA_BYTES ? H_PARAMETER : this.#assign(this.vpa, address, length);
    if (what === REGISTER_DTL && length < DTL_ENTRY_BYTES) return H_PARAMETER;
    if (this.vpa.address === 0) return H_RESOURCE;
    if (what === REGISTER_SLB) return this.#assign(this.slbShadow, address, length);
    return this.#assign(this.dtl, address, length - (length % DTL_ENTRY_BYTES));
  }

  /** KVM_SET_ONE_REG of KVM_REG_PPC_VPA_*: 0 or -EINVAL. */
  set(area: "vpa" | "dtl" | "slbShadow", address: number, length: number): number {
    if (area === "vpa") {
      if (address === 0 && (this.slbShadow.address !== 0 || this.dtl.address !== 0)) return -EINVAL;
      return this.#checked(this.vpa, address, LPPACA_BYTES);
    }
    if (address !== 0 && this.vpa.address === 0) return -EINVAL;
    if (area === "slbShadow") return this.#checked(this.slbShadow, address, length);
    if (address !== 0 && length < DTL_ENTRY_BYTES) return -EINVAL;
    return this.#checked(this.dtl, address, length - (length % DTL_ENTRY_BYTES));
  }

  #checked(area: SharedArea, address: number, length: number): number {
    if (address % CACHE_LINE !== 0) return -EINVAL;
    return this.#assign(area, address, address === 0 ? 0 : length);
  }

  #assign(area: SharedArea, address: number, length: number): number {
    area.address = address;
    area.length = length;
    this.#pending ||= area === this.vpa;
    return H_SUCCESS;
  }

  /** Before the guest runs: areas registered meanwhile are taken into use. */
  update(): void {
    if (!this.#pending) return;
    this.#pending = false;
    const { address, length } = this.vpa;
    const page = address === 0 ? null : this.#toPageEnd(address);
    this.#pinned = page && page.length >= length ? page : null;
    if (!this.#pinned) return;
    this.#pinned[OLD_STATUS]! |= OLD_STATUS_SHARED;
    this.#pinned.fill(0, YIELD_COUNT, YIELD_COUNT + 4);
    this.#pinned[YIELD_COUNT + 3] = 1;
  }

  /** The guest is entered, or has been left. */
  dispatch(): void {
    const bytes = this.#pinned;
    if (!bytes) return;
    for (let at = YIELD_COUNT + 3; at >= YIELD_COUNT; at--) {
      const sum = (bytes[at] as number) + 1;
      bytes[at] = sum;
      if (sum < 256) return;
    }
  }

  get yieldCount(): number {
    const bytes = this.#pinned;
    if (!bytes) return 0;
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(YIELD_COUNT);
  }

  /** The user's bytes from a guest address to the end of its page. */
  #toPageEnd(guest: number): Uint8Array | null {
    const { slots, process } = this.#memory;
    const user = slots.userAddressOf(guest);
    if (user < 0) return null;
    const { pageSize } = process.kernel;
    return process.mm.resolve(user, pageSize - (user % pageSize), { write: true });
  }
}
