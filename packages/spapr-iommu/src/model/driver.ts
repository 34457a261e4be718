// The VFIO IOMMU driver "iommu-vfio-spapr-tce": answers extensions, opens containers of version 1 and 2, and keeps one
// table group for each IOMMU group. Source: drivers/vfio/vfio_iommu_spapr_tce.c.
import { EINVAL } from "@minivmm/host";
import { KernelError, type ModelKernel } from "@minivmm/host/model";
import type { IommuGroup } from "@minivmm/pci";
import { VFIO_EEH, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from "@minivmm/vfio-core";
import type { IommuAttachable, IommuDriver, IommuInstance } from "@minivmm/vfio-core/model";
import { spaprIoctls } from "../uapi.ts";
import { TceArena } from "./arena/index.ts";
import { type ContainerContext, TceContainer } from "./container.ts";
import { TceContainerV1 } from "./container-v1.ts";
import { TceContainerV2 } from "./container-v2.ts";
import type { SpaprPlatform } from "./platform.ts";
import { powernv } from "./powernv.ts";
import { type SpaprProfile, spaprProfile } from "./profile.ts";
import { pseries } from "./pseries.ts";
import { TableGroup } from "./table-group.ts";

export interface SpaprTceIommuOptions {
  /** Default "powernv". */
  platform?: "powernv" | "pseries";
  /** Bytes of the default window. Default 2 GiB on powernv, 1 GiB on pseries. */
  tce32Size?: number;
  /** log2 of the IOMMU page sizes; defaults per platform. */
  pageShifts?: readonly number[];
  /** Is EEH there? Default true on powernv, false on pseries. */
  eeh?: boolean;
  /** Does a bad DMA freeze the PE? Defaults to what `eeh` is. */
  freeze?: boolean;
}

export class SpaprTceIommu implements IommuDriver {
  readonly name = "iommu-vfio-spapr-tce";
  readonly allowsNoiommu = false;
  readonly platform: SpaprPlatform;
  readonly profile: SpaprProfile;
  /** Where this kernel's tables and regions lie. */
  readonly arena: TceArena;
  readonly #kernel: ModelKernel;
  readonly #context: ContainerContext;
  readonly #groups = new Map<IommuGroup, TableGroup>();

  constructor(kernel: ModelKernel, options: SpaprTceIommuOptions = {}) {
    this.#kernel = kernel;
    this.profile = spaprProfile(kernel.profile);
    this.arena = TceArena.of(kernel);
    this.platform = makePlatform(this.arena, kernel.pageSize, options, this.profile);
    this.#context = {
      ioctls: spaprIoctls(kernel.arch),
      profile: this.profile,
      arena: this.arena,
      pageSize: kernel.pageSize,
      tableGroup: (group) => this.#tableGroup(group),
      checkExtension: (ext) => this.checkExtension(ext),
      warn: (message) => kernel.log.push(message),
    };
  }

  /** The types of both versions are known whatever the groups can do; attaching decides. */
  checkExtension(ext: number): number {
    if (ext === VFIO_SPAPR_TCE_IOMMU) return 1;
    if (ext === VFIO_SPAPR_TCE_v2_IOMMU) return this.profile.v2 ? 1 : 0;
    if (ext === VFIO_EEH) return this.profile.eeh && this.platform.eehEnabled ? 1 : 0;
    return 0;
  }

  open(type: number): IommuInstance {
    if (type === VFIO_SPAPR_TCE_IOMMU) return new TceContainerV1(this.#context);
    if (type === VFIO_SPAPR_TCE_v2_IOMMU && this.profile.v2) return new TceContainerV2(this.#context);
    throw new KernelError(EINVAL, `tce_vfio: wrong IOMMU type ${type}`);
  }

  /** The hardware side of an IOMMU group: its tables and its PE. */
  tableGroupOf(group: IommuGroup): TableGroup {
    let tables = this.#groups.get(group);
    if (!tables) {
      tables = new TableGroup(group, this.platform, this.#kernel.physical, (text) => this.#kernel.log.push(text));
      this.#groups.set(group, tables);
    }
    return tables;
  }

  #tableGroup(group: IommuAttachable): TableGroup | null {
    return group.type === "iommu" ? this.tableGroupOf(group.iommuGroup) : null;
  }
}

/** Is this container one of ours? For users of the kernel's side, such as KVM. */
export function isTceContainer(instance: IommuInstance | null): instance is TceContainer {
  return instance instanceof TceContainer;
}

function makePlatform(
  arena: TceArena,
  pageSize: number,
  options: SpaprTceIommuOptions,
  profile: SpaprProfile,
): SpaprPlatform {
  const { platform = "powernv", tce32Size, pageShifts } = options;
  const eeh = options.eeh ?? platform === "powernv";
  const shared = {
    arena,
    pageSize,
    eeh,
    freeze: options.freeze ?? eeh,
    ...(tce32Size === undefined ? {} : { tce32Size }),
    ...(pageShifts === undefined ? {} : { pageShifts }),
  };
  return platform === "powernv" ? powernv({ ...shared, chargeUserView: profile.eagerUserView }) : pseries(shared);
}
