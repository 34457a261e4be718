/** The kernel's side of hot reset: two more ioctls of vfio-pci devices. */
import type { VfioCore } from "@minivmm/vfio-core/model";
import { hotResetIoctls } from "../uapi.ts";
import { hotResetInfo } from "./info.ts";
import { hotReset } from "./reset.ts";

/** Teaches the vfio-pci devices of a modelled kernel to be hot reset. Once per VfioCore. */
export function registerHotReset(core: VfioCore): void {
  const ioctls = hotResetIoctls(core.kernel.arch);
  core.registerDeviceIoctl(ioctls.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, (call, device) =>
    hotResetInfo(core, call, device),
  );
  core.registerDeviceIoctl(ioctls.VFIO_DEVICE_PCI_HOT_RESET, (call, device) => hotReset(core, call, device));
}
