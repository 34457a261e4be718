// Filling TCEs: v1 pins each page when it is mapped, v2 looks pages up in memory that was registered before.
// Both replace what an entry held, and on failure take back what this call wrote, including what it replaced.
// Source: tce_iommu_build, tce_iommu_build_v2. Invariant: nothing is written behind the table's end, although the
// kernel checks only the first page of a mapping: such entries are counted as in use and dropped.
import { EFAULT, EINVAL, ENOMEM, EPERM } from "@minivmm/host";
import type { AddressSpace } from "@minivmm/host/model";
import { clearTces, type PageUse } from "./clear.ts";
import { backingSize, pinForWrite } from "./pin.ts";
import type { TceTable } from "./table.ts";

/** The v2 way. 0 or -errno: EINVAL for memory that is not registered or held in too small pages. */
export function buildV2(
  table: TceTable,
  first: number,
  count: number,
  address: number,
  permission: number,
  use: PageUse,
): number {
  const regions = use.regions;
  const { pageSize, pageShift } = table;
  let result = 0;
  let done = 0;
  for (let user = address; done < count; done++, user += pageSize) {
    const region = regions === null ? null : regions.lookup(user, pageSize);
    const physical = region === null ? -1 : region.physical(user, pageShift);
    if (region === null || physical < 0) {
      result = -EINVAL;
      break;
    }
    // A region that is being unregistered: the call ends here, and is a success of the pages so far.
    if (!region.mappedInc()) break;
    const entry = first + done;
    if (entry >= table.entries) continue;
    const old = table.exchange(entry, physical, permission);
    if (old < 0) {
      region.mappedDec();
      result = -ENOMEM;
      break;
    }
    if (old !== 0) use.unuse(table, entry);
    table.setUserAddress(entry, user);
  }
  if (result !== 0) clearTces(table, first, done, use);
  return result;
}

/** The v1 way. 0 or -errno: EFAULT for a page that cannot be pinned for writing, EPERM for one smaller than the TCE's. */
export function buildV1(
  table: TceTable,
  first: number,
  count: number,
  address: number,
  permission: number,
  use: PageUse,
  mm: AddressSpace,
): number {
  const { pageSize } = table;
  let result = 0;
  let done = 0;
  for (let user = address; done < count; done++, user += pageSize) {
    // Pinned for writing whatever the direction: the kernel looks for the direction bits in the address.
    const physical = pinForWrite(mm, user);
    if (physical < 0) {
      result = -EFAULT;
      break;
    }
    if (pageSize > mm.pageSize && backingSize(mm, user) < pageSize) {
      result = -EPERM;
      break;
    }
    use.pinned++;
    const entry = first + done;
    if (entry >= table.entries) continue;
    const old = table.exchange(entry, physical, permission);
    if (old < 0) {
      use.pinned--;
      result = -ENOMEM;
      break;
    }
    if (old !== 0) use.unuse(table, entry);
  }
  if (result !== 0) clearTces(table, first, done, use);
  return result;
}
