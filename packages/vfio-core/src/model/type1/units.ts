/**
 * The IOMMU hardware of a machine: one kind of unit in front of every group, with exceptions.
 *
 * VFIO's type1 and iommufd are two ways to the same units; both are made with the same options.
 */
import type { IommuGroup } from "@minivmm/pci";
import { checkUnit, type IommuUnit, MSI_WINDOW, type ReservedRegion } from "./hardware.ts";

export interface IommuHardwareOptions {
  /** Bits of an IOVA: 39, 48 or 57 on VT-d. Default 48. */
  addressWidth?: number;
  /** Bytes of each IOMMU page size. Default 4 KiB, 2 MiB, 1 GiB. */
  pageSizes?: readonly number[];
  /** The IOMMU can make no-snoop DMA snoop. Default true. */
  snoopControl?: boolean;
  /** Interrupts of devices are isolated from each other. Default true. */
  interruptRemapping?: boolean;
  /** The hardware can nest translations (SET_IOMMU 6). Default false. */
  nesting?: boolean;
  /** The hardware marks pages that devices wrote, for iommufd's page tables. Default false. */
  dirtyTracking?: boolean;
  /** Where interrupt messages are written to, never memory for devices; null for none. Default 0xfee00000-0xfeefffff. */
  msiWindow?: ReservedRegion | null;
  /** What else the hardware or firmware reserves, for every group. */
  reservedRegions?: readonly ReservedRegion[];
  /** Hardware that differs for a group; null: no IOMMU in front of it. */
  unitOf?: (group: IommuGroup) => Partial<IommuUnit> | null;
}

export class IommuHardware {
  /** The unit in front of groups for which `unitOf` says nothing else. */
  readonly unit: IommuUnit;
  readonly #unitOf: (group: IommuGroup) => Partial<IommuUnit> | null;

  /** Throws VfioError OPTION for hardware that cannot be. */
  constructor(options: IommuHardwareOptions = {}) {
    const { msiWindow = MSI_WINDOW, reservedRegions = [] } = options;
    this.unit = checkUnit({
      addressWidth: options.addressWidth ?? 48,
      pageSizes: options.pageSizes ?? [4096, 0x20_0000, 0x4000_0000],
      snoopControl: options.snoopControl ?? true,
      isolatedMsi: options.interruptRemapping ?? true,
      nesting: options.nesting ?? false,
      dirtyTracking: options.dirtyTracking ?? false,
      reserved: msiWindow ? [msiWindow, ...reservedRegions] : reservedRegions,
      attachErrno: 0,
    });
    this.#unitOf = options.unitOf ?? (() => ({}));
  }

  /** The unit in front of a group, or null. */
  unitOf(group: IommuGroup): IommuUnit | null {
    const own = this.#unitOf(group);
    return own && checkUnit({ ...this.unit, ...own });
  }
}
