// H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE, H_GET_TCE of one VM in virtual mode: checks and effects in the kernel's order.
// Source: kvmppc_h_put_tce and others (arch/powerpc/kvm/book3s_64_vio.c). The stage in front of this is real-mode/.
// 64-bit arguments come as 32-bit halves, high first, unsigned. Results are hypercall codes; H_TOO_HARD leaves the call
// to user space. Nothing allocates but pages that are written first.
// Invariants: no entry outside the guest's table or a hardware table is touched; entries with permissions reach
// registered memory only. Kernels before 4.18 go on after a failed hardware update; later ones end the call there.

import { H_PARAMETER, H_SUCCESS } from "@minivmm/kvm";
import { H_TOO_HARD } from "@minivmm/kvm/model";
import { TCE_PCI_READ, TCE_PCI_WRITE } from "../../uapi.ts";
import { TCE_LIST_ENTRIES } from "../../uapi-kvm.ts";
import { isAligned, pageNumber } from "../bus-address.ts";
import { GET, INDIRECT, PUT, REASON, STUFF, VIRTUAL } from "./counters.ts";
import type { GuestTable, TableLink } from "./guest-table.ts";
import { HardwareUpdates } from "./hardware.ts";
import type { KvmTceProfile } from "./profile.ts";
import { TceList } from "./tce-list.ts";
import type { VmTce } from "./vm-tce.ts";

const TWO_32 = 0x1_0000_0000;
const PERMISSION = TCE_PCI_READ | TCE_PCI_WRITE;
const LIST_ALIGN = 0xfff;

export class TceHypercalls {
  /** What H_GET_TCE found. */
  valueHi = 0;
  valueLo = 0;
  readonly #tce: VmTce;
  readonly #profile: KvmTceProfile;
  readonly #updates: HardwareUpdates;
  readonly #list: TceList;
  /** Entries that the running call has written. */
  #written = 0;

  constructor(tce: VmTce, profile: KvmTceProfile) {
    this.#tce = tce;
    this.#profile = profile;
    const { goesOn } = profile;
    this.#updates = new HardwareUpdates(tce.regions, tce.counters, { distinct: goesOn, needsUserView: goesOn });
    this.#list = new TceList(tce.vm.process.mm);
  }

  putTce(liobnHi: number, liobnLo: number, iobaHi: number, iobaLo: number, hi: number, lo: number): number {
    return this.#done(PUT, this.#put(liobnHi, liobnLo, iobaHi, iobaLo, hi, lo));
  }

  /** `list` is the guest address of big-endian entries. */
  putTceIndirect(
    liobnHi: number,
    liobnLo: number,
    iobaHi: number,
    iobaLo: number,
    listHi: number,
    listLo: number,
    countHi: number,
    countLo: number,
  ): number {
    const count = countHi * TWO_32 + countLo;
    const result = this.#indirect(liobnHi, liobnLo, iobaHi, iobaLo, listHi, listLo, count);
    return this.#done(INDIRECT, result);
  }

  stuffTce(
    liobnHi: number,
    liobnLo: number,
    iobaHi: number,
    iobaLo: number,
    hi: number,
    lo: number,
    countHi: number,
    countLo: number,
  ): number {
    const count = countHi * TWO_32 + countLo;
    return this.#done(STUFF, this.#stuff(liobnHi, liobnLo, iobaHi, iobaLo, hi, lo, count));
  }

  /** The value is in `valueHi` and `valueLo` after H_SUCCESS. */
  getTce(liobnHi: number, liobnLo: number, iobaHi: number, iobaLo: number): number {
    return this.#done(GET, this.#get(liobnHi, liobnLo, iobaHi, iobaLo));
  }

  #put(liobnHi: number, liobnLo: number, iobaHi: number, iobaLo: number, hi: number, lo: number): number {
    const table = this.#tce.find(liobnHi, liobnLo);
    if (table === null) return this.#tce.counters.tooHard(REASON.noTable);
    const index = this.#indexOf(table, iobaHi, iobaLo, 1);
    if (index < 0) return H_PARAMETER;
    const permission = lo & PERMISSION;
    let user = 0;
    if (permission !== 0 && this.#profile.validate !== "none") {
      const result = this.#validate(table, hi, lo);
      if (result !== H_SUCCESS) return result;
      user = this.#tce.userAddress(hi, lo);
      if (user < 0) return H_PARAMETER;
    }
    const { links } = table;
    for (let i = 0; i < links.length; i++) {
      const link = links[i] as TableLink;
      const result = this.#update(link, index, user, permission);
      if (result === H_SUCCESS) continue;
      if (this.#endsHere(result)) {
        if (!this.#profile.goesOn) this.#updates.clear(link.table, index * link.fan, link.fan);
        return result;
      }
      this.#clear(link, index);
    }
    table.put(index, hi, lo);
    this.#written = 1;
    return H_SUCCESS;
  }

  #indirect(
    liobnHi: number,
    liobnLo: number,
    iobaHi: number,
    iobaLo: number,
    listHi: number,
    listLo: number,
    count: number,
  ): number {
    const table = this.#tce.find(liobnHi, liobnLo);
    if (table === null) return this.#tce.counters.tooHard(REASON.noTable);
    if (count > TCE_LIST_ENTRIES || (listLo & LIST_ALIGN) !== 0) return H_PARAMETER;
    const index = this.#indexOf(table, iobaHi, iobaLo, count);
    if (index < 0) return H_PARAMETER;
    const from = this.#tce.userAddress(listHi, listLo);
    if (from < 0) return this.#tce.counters.tooHard(REASON.unreadableList);
    const list = this.#list;
    list.open(from);
    if (this.#profile.twoPasses) {
      for (let i = 0; i < count; i++) {
        if (!list.read(i)) return this.#tce.counters.tooHard(REASON.unreadableList);
        const result = this.#validate(table, list.hi, list.lo);
        if (result !== H_SUCCESS) return result;
      }
    }
    let last = H_SUCCESS;
    for (let i = 0; i < count; i++) {
      // Read anew: the guest may have changed it meanwhile, and everything that matters is checked anew too.
      if (!list.read(i)) return this.#tce.counters.tooHard(REASON.unreadableList);
      const { hi, lo } = list;
      if (!this.#profile.twoPasses) {
        const result = this.#validate(table, hi, lo);
        if (result !== H_SUCCESS) return result;
      }
      const user = this.#tce.userAddress(hi, lo);
      if (user < 0) return H_PARAMETER;
      last = this.#mapAll(table, index, index + i, user, lo & PERMISSION);
      if (this.#endsHere(last)) return last;
      table.put(index + i, hi, lo);
      this.#written = i + 1;
    }
    return last;
  }

  /** One entry of a list, in every attached table. Entries without permissions are mapped too. */
  #mapAll(table: GuestTable, first: number, index: number, user: number, permission: number): number {
    let last = H_SUCCESS;
    for (let i = 0; i < table.links.length; i++) {
      const link = table.links[i] as TableLink;
      const updates = this.#updates;
      last = updates.map(link.table, index * link.fan, link.fan, user, permission);
      if (last === H_SUCCESS) continue;
      if (this.#endsHere(last)) {
        if (!this.#profile.goesOn) updates.clear(link.table, index * link.fan, link.fan);
        return last;
      }
      // The old kernel's mistake: it clears the first entry of the call, not the one that failed.
      this.#clear(link, first);
    }
    return last;
  }

  #stuff(
    liobnHi: number,
    liobnLo: number,
    iobaHi: number,
    iobaLo: number,
    hi: number,
    lo: number,
    count: number,
  ): number {
    const table = this.#tce.find(liobnHi, liobnLo);
    if (table === null) return this.#tce.counters.tooHard(REASON.noTable);
    const index = this.#indexOf(table, iobaHi, iobaLo, count);
    if (index < 0 || (lo & PERMISSION) !== 0) return H_PARAMETER;
    for (let i = 0; i < table.links.length; i++) {
      const result = this.#unmapRange(table.links[i] as TableLink, index, count);
      if (result !== H_SUCCESS) return result;
    }
    table.fill(index, count, hi, lo);
    this.#written = count;
    return H_SUCCESS;
  }

  /** H_TOO_HARD at the first entry that is; other failures are cleared and passed over. */
  #unmapRange(link: TableLink, index: number, count: number): number {
    const { table, fan } = link;
    const end = (index + count) * fan;
    for (let entry = index * fan; entry < end; entry++) {
      if (table.refuses === null) entry = table.nextLive(entry, end);
      if (entry >= end) break;
      const result = this.#updates.unmapOne(table, entry);
      if (result === H_SUCCESS) continue;
      if (result === H_TOO_HARD) return result;
      this.#clear(link, this.#profile.goesOn ? index : Math.floor(entry / fan));
    }
    return H_SUCCESS;
  }

  #get(liobnHi: number, liobnLo: number, iobaHi: number, iobaLo: number): number {
    const table = this.#tce.find(liobnHi, liobnLo);
    if (table === null) return this.#tce.counters.tooHard(REASON.noTable);
    const index = this.#indexOf(table, iobaHi, iobaLo, 1);
    if (index < 0) return H_PARAMETER;
    this.valueHi = table.highOf(index);
    this.valueLo = table.lowOf(index);
    return H_SUCCESS;
  }

  /** kvmppc_ioba_validate: the first entry's index, or -1 unless all `count` entries are the table's. */
  #indexOf(table: GuestTable, hi: number, lo: number, count: number): number {
    if (!isAligned(hi, lo, table.pageShift) && this.#profile.validate !== "none") return -1;
    const index = pageNumber(hi, lo, table.pageShift) - table.offset;
    return index >= 0 && index + count <= table.entries ? index : -1;
  }

  /** kvmppc_tce_validate: H_SUCCESS for what may go into the tables. Without permissions anything may. */
  #validate(table: GuestTable, hi: number, lo: number): number {
    if ((lo & PERMISSION) === 0) return H_SUCCESS;
    const early = this.#profile.validate === "tooHard";
    if (!isAligned(hi, (lo & ~PERMISSION) >>> 0, table.pageShift)) {
      return early ? this.#tce.counters.tooHard(REASON.misaligned) : H_PARAMETER;
    }
    if (!early) return H_SUCCESS;
    const user = this.#tce.userAddress(hi, lo);
    if (user < 0) return this.#tce.counters.tooHard(REASON.outsideMemory);
    for (let i = 0; i < table.links.length; i++) {
      const link = table.links[i] as TableLink;
      if (!this.#updates.isRegistered(link.table, user)) {
        return this.#tce.counters.tooHard(REASON.notRegistered);
      }
    }
    return H_SUCCESS;
  }

  #update({ table, fan }: TableLink, index: number, user: number, permission: number): number {
    const updates = this.#updates;
    if (permission === 0) return updates.unmap(table, index * fan, fan);
    return updates.map(table, index * fan, fan, user, permission);
  }

  #endsHere(result: number): boolean {
    return result === H_TOO_HARD || (result !== H_SUCCESS && !this.#profile.goesOn);
  }

  /** A hardware update failed in a way that nobody could help: the entry goes, the call goes on. */
  #clear({ table, fan }: TableLink, index: number): void {
    this.#updates.clear(table, index * fan, fan);
    this.#tce.warnOnce(index);
  }

  #done(kind: number, result: number): number {
    const written = this.#written;
    this.#written = 0;
    return this.#tce.counters.count(VIRTUAL, kind, result, written);
  }
}
