/**
 * iommufd in a modelled kernel: the node /dev/iommu, the module parameter, and /dev/vfio/vfio where the kernel is built to
 * have VFIO's container from here (CONFIG_IOMMUFD_VFIO_CONTAINER). Source: iommufd_init, iommufd_fops_open.
 */
import type { ModelKernel } from "@minivmm/host/model";
import { type1Ioctls, vfioIoctls } from "../../uapi.ts";
import { iommufdIoctls } from "../../uapi-iommufd.ts";
import { boolParameter } from "../bool-parameter.ts";
import { IommuHardware, type IommuHardwareOptions } from "../type1/units.ts";
import { UserAccounts } from "./accounting.ts";
import type { IommufdKernel } from "./context.ts";
import { IommufdFile } from "./file.ts";

/** The IOMMU hardware, as type1 has it, and how iommufd is built and started. */
export interface IommufdOptions extends IommuHardwareOptions {
  /** /dev/vfio/vfio is an iommufd instead of VFIO's container. Default false. */
  servesContainer?: boolean;
  /** Module parameter: bind devices whose interrupts are not isolated. Default false. */
  allowUnsafeInterrupts?: boolean;
}

/** Pages charged per user are in `accounts` of the result. Throws VfioError OPTION for hardware that cannot be. */
export function installIommufd(kernel: ModelKernel, options: IommufdOptions, noiommu: boolean): IommufdKernel {
  const host: IommufdKernel = {
    kernel,
    hardware: new IommuHardware(options),
    accounts: new UserAccounts(),
    ioctls: iommufdIoctls(kernel.arch),
    vfioIoctls: vfioIoctls(kernel.arch),
    type1Ioctls: type1Ioctls(kernel.arch),
    noiommu,
    allowUnsafeInterrupts: options.allowUnsafeInterrupts ?? false,
  };
  boolParameter(
    kernel.sysfs,
    "iommufd/allow_unsafe_interrupts",
    () => host.allowUnsafeInterrupts,
    (value) => {
      host.allowUnsafeInterrupts = value;
    },
  );
  kernel.registerNode("/dev/iommu", () => new IommufdFile(host, "user"), 0o660);
  if (options.servesContainer) {
    let told = false;
    kernel.registerNode(
      "/dev/vfio/vfio",
      () => {
        if (!told) kernel.log.push("iommufd: IOMMUFD is providing /dev/vfio/vfio, not VFIO.");
        told = true;
        return new IommufdFile(host, "mm");
      },
      0o666,
    );
  }
  return host;
}
