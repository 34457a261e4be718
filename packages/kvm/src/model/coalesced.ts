// Zones whose writes KVM collects instead of leaving the guest (virt/kvm/coalesced_mmio.c).
// Invariant: a write is collected when one zone holds all of it; to unregister a range is to remove the zones that hold it.

import { EINVAL, ENOSPC, type StructValue } from "@minivmm/host";
import type { kvm_coalesced_mmio_zone } from "../uapi-x86.ts";

type Zone = StructValue<typeof kvm_coalesced_mmio_zone>;

/** Devices that a bus takes, doorbells (ioeventfd) not counted. */
const NR_IOBUS_DEVS = 1000;

export class CoalescedZones {
  #zones: Zone[] = [];

  get size(): number {
    return this.#zones.length;
  }

  register(zone: Zone): number {
    if (zone.pio > 1) return -EINVAL;
    if (this.#zones.filter(({ pio }) => pio === zone.pio).length >= NR_IOBUS_DEVS) return -ENOSPC;
    this.#zones.push(zone);
    return 0;
  }

  unregister(range: Zone): number {
    if (range.pio > 1) return -EINVAL;
    this.#zones = this.#zones.filter((zone) => !holds(zone, range));
    return 0;
  }

  /** Whether a guest's write would be collected. */
  collects(port: boolean, address: bigint, length: number): boolean {
    const range = { addr: address, size: length, pio: port ? 1 : 0 };
    return this.#zones.some((zone) => holds(zone, range));
  }
}

function holds(zone: Zone, { addr, size, pio }: Zone): boolean {
  const end = BigInt.asUintN(64, addr + BigInt(size | 0));
  if (zone.pio !== pio || (size | 0) < 0 || end < addr) return false;
  return addr >= zone.addr && end <= BigInt.asUintN(64, zone.addr + BigInt(zone.size));
}
