/**
 * The VFIO IOMMU driver "vfio-iommu-type1": x86's (and ARM's) back end, on modelled IOMMU hardware.
 *
 * Types: 1, 3 (version 2, stricter about unmapping), 6 (version 2 with nested translation, where hardware has it). Source: drivers/vfio/vfio_iommu_type1.c.
 */
import { EINVAL } from "@minivmm/host";
import { KernelError, type ModelKernel } from "@minivmm/host/model";
import type { PciTopology } from "@minivmm/pci";
import {
  type Type1Ioctls,
  type1Ioctls,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from "../../uapi.ts";
import type { IommuAttachable, IommuDriver, IommuInstance } from "../iommu-driver.ts";
import type { IommuUnit } from "./hardware.ts";
import { Type1Instance } from "./instance.ts";
import { Type1Parameters } from "./parameters.ts";
import { BusPeers } from "./peers.ts";
import { Pinner } from "./pin.ts";
import { type Type1Profile, type1Profile } from "./profile.ts";
import { Type1State } from "./state.ts";
import { IommuHardware, type IommuHardwareOptions } from "./units.ts";

const EXTENSIONS = new Set([VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_NESTING_IOMMU, VFIO_UNMAP_ALL]);

export interface Type1IommuOptions extends IommuHardwareOptions {
  /** Module parameter: take groups whose interrupts are not isolated. Default false. */
  allowUnsafeInterrupts?: boolean;
  /** Module parameter: mappings of a container. Default 65535. */
  dmaEntryLimit?: number;
  /** Where DMA to other devices' BARs goes. Without it such DMA is refused. */
  topology?: PciTopology;
}

export class Type1Iommu implements IommuDriver {
  readonly name = "vfio-iommu-type1";
  readonly allowsNoiommu = false;
  readonly parameters: Type1Parameters;
  readonly #hardware: IommuHardware;
  readonly #kernel: ModelKernel;
  readonly #profile: Type1Profile;
  readonly #ioctls: Type1Ioctls;
  readonly #pinner: Pinner;
  readonly #peers: BusPeers | null;

  /** The hardware in front of groups for which `unitOf` says nothing else. */
  get unit(): IommuUnit {
    return this.#hardware.unit;
  }

  /** Throws VfioError OPTION for hardware that cannot be. */
  constructor(kernel: ModelKernel, options: Type1IommuOptions = {}) {
    const { topology } = options;
    this.#hardware = new IommuHardware(options);
    this.#kernel = kernel;
    this.#profile = type1Profile(kernel.profile);
    this.#ioctls = type1Ioctls(kernel.arch);
    this.#pinner = new Pinner(kernel.physical, kernel.pageSize, this.#profile.zeroPages);
    this.#peers = topology ? new BusPeers(topology) : null;
    this.parameters = new Type1Parameters(options.allowUnsafeInterrupts ?? false, options.dmaEntryLimit ?? 65535);
    this.parameters.publish(kernel.sysfs);
  }

  /** Type 6 is offered whether or not the hardware can nest; attaching decides. */
  checkExtension(ext: number, instance: IommuInstance | null): number {
    return instance ? instance.checkExtension(ext) : this.#extension(ext);
  }

  open(type: number): IommuInstance {
    if (type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU && type !== VFIO_TYPE1_NESTING_IOMMU) {
      throw new KernelError(EINVAL, `${type} is no type of the type1 IOMMU`);
    }
    const { parameters } = this;
    const { physical, pageSize } = this.#kernel;
    const state = new Type1State({
      v2: type !== VFIO_TYPE1_IOMMU,
      nesting: type === VFIO_TYPE1_NESTING_IOMMU,
      dmaEntryLimit: parameters.dmaEntryLimit,
      pageSize,
      pinner: this.#pinner,
      physical,
      peers: this.#peers,
    });
    return new Type1Instance(state, {
      ioctls: this.#ioctls,
      profile: this.#profile,
      checkExtension: (ext) => this.#extension(ext),
      unsafeInterrupts: () => parameters.allowUnsafeInterrupts,
      unitOf: ({ iommuGroup }: IommuAttachable) => this.#hardware.unitOf(iommuGroup),
    });
  }

  #extension(ext: number): number {
    return EXTENSIONS.has(ext) ? 1 : 0;
  }
}
