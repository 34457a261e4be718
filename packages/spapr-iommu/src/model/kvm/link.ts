// Linking guest tables to the hardware tables of VFIO groups: what the KVM-VFIO device asks for.
// Source: kvm_spapr_tce_attach_iommu_group, kvm_spapr_tce_release_iommu_group (arch/powerpc/kvm/book3s_64_vio.c).
// Nothing is copied between the tables, in either direction: user space replays what the guest wrote before.
// Invariant: a release counts down only what the group's hardware has at this moment; a link to a window that was
// removed lives until the guest's table goes.
import { EBADF, EFAULT, EINVAL } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import type { Vm } from "@minivmm/kvm/model";
import type { IommuGroup } from "@minivmm/pci";
import type { SpaprTceIommu } from "../driver.ts";
import type { TceTable } from "../table.ts";
import { TableFile } from "./create.ts";
import type { GuestTable } from "./guest-table.ts";
import type { KvmTceProfile } from "./profile.ts";
import type { VmTce } from "./vm-tce.ts";

/** The KVM-VFIO device's way to TCE tables (SpaprTceLink of @minivmm/kvm-device). */
export interface TceLink {
  /** 0 or -errno. */
  attach(vm: Vm, process: ModelProcess, tableFd: number, group: IommuGroup): number;
  release(vm: Vm, group: IommuGroup): void;
}

/** `of` finds what a VM has. `iommu` is null on a machine whose groups have no TCE tables. */
export function tceLink(iommu: SpaprTceIommu | null, of: (vm: Vm) => VmTce | null, profile: KvmTceProfile): TceLink {
  return {
    attach(vm, process, tableFd, group) {
      const file = process.fileOf(tableFd);
      if (!file) return -EBADF;
      if (!(file.ops instanceof TableFile)) return -EINVAL;
      const { table } = file.ops;
      if (!of(vm)?.tables.includes(table)) return -EINVAL;
      if (iommu === null) return -EFAULT;
      const hardware = iommu
        .tableGroupOf(group)
        .hardwareTables()
        .find((each) => each !== null && fits(each, table, profile));
      return hardware ? table.attach(hardware) : -EINVAL;
    },

    release(vm, group) {
      if (iommu === null) return;
      const tables = iommu.tableGroupOf(group).hardwareTables();
      for (const table of of(vm)?.tables ?? []) {
        for (const link of [...table.links]) {
          for (const hardware of tables) {
            if (hardware !== link.table) continue;
            table.detach(link);
            if (profile.releasesOne) return;
          }
        }
      }
    },
  };
}

/** Same first byte, page not larger, room for all of the guest's window. The kernel's 64-bit arithmetic wraps. */
function fits(hardware: TceTable, guest: GuestTable, profile: KvmTceProfile): boolean {
  const bytes = (pages: bigint, shift: number): bigint => BigInt.asUintN(64, pages << BigInt(shift));
  if (hardware.pageShift > guest.pageShift) return false;
  if (bytes(BigInt(hardware.offset), hardware.pageShift) !== bytes(guest.shape.offset, guest.pageShift)) return false;
  const has = bytes(BigInt(hardware.entries), hardware.pageShift);
  const needs = bytes(BigInt(guest.entries), guest.pageShift);
  return profile.exactMatch ? has === needs && hardware.pageShift === guest.pageShift : has >= needs;
}
