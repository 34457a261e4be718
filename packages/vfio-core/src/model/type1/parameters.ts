/**
 * The module parameters of vfio_iommu_type1, as options and as files below /sys/module.
 *
 * A container samples dma_entry_limit when its type is set; allow_unsafe_interrupts is read at each attach.
 * Source: module_param_named in vfio_iommu_type1.c; kstrtobool, kstrtouint.
 */
import { EINVAL, ERANGE } from "@minivmm/host";
import type { SysFs } from "@minivmm/host/model";
import { boolParameter } from "../bool-parameter.ts";

const FOLDER = "/sys/module/vfio_iommu_type1/parameters";

export class Type1Parameters {
  /** Lets groups in whose interrupts are not isolated. */
  allowUnsafeInterrupts: boolean;
  /** Mappings a container may have. */
  dmaEntryLimit: number;
  /** Pins and maps page by page; nothing that a user can see depends on it. */
  disableHugepages = false;

  constructor(allowUnsafeInterrupts: boolean, dmaEntryLimit: number) {
    this.allowUnsafeInterrupts = allowUnsafeInterrupts;
    this.dmaEntryLimit = dmaEntryLimit;
  }

  publish(sysfs: SysFs): void {
    const flag = (name: string, key: "allowUnsafeInterrupts" | "disableHugepages") =>
      boolParameter(
        sysfs,
        `vfio_iommu_type1/${name}`,
        () => this[key],
        (value) => {
          this[key] = value;
        },
      );
    flag("allow_unsafe_interrupts", "allowUnsafeInterrupts");
    flag("disable_hugepages", "disableHugepages");
    sysfs.file(`${FOLDER}/dma_entry_limit`, {
      read: () => `${this.dmaEntryLimit}\n`,
      write: (text) => {
        if (!/^\+?(0x[0-9a-f]+|\d+)\n?$/i.test(text)) return -EINVAL;
        const value = Number(text);
        if (value > 0xffff_ffff) return -ERANGE;
        this.dmaEntryLimit = value;
        return 0;
      },
    });
  }
}
