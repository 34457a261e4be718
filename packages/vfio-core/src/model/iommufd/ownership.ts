/**
 * Does an iommufd own a function? Bound to it: yes, with an id. In a group of which another device is bound to it: yes,
 * without one, since the group's DMA is its. Source: vfio_iommufd_get_dev_id, iommufd_ctx_has_group.
 */
import type { PciFunction } from "@minivmm/pci";
import { IommufdDevice } from "./device.ts";

/** The function's id in the iommufd of `user`; 0: owned without one; -1: not owned. */
export function deviceIdFor(user: IommufdDevice, fn: PciFunction): number {
  const devices = user.context.objects.all().filter((each) => each instanceof IommufdDevice);
  const own = devices.find((each) => each.fn === fn);
  if (own) return own.id;
  return fn.group && devices.some((each) => each.fn.group === fn.group) ? 0 : -1;
}
