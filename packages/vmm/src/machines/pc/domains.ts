// The IOMMU domains of one machine pc, and which of them each function of the host goes to: the container or iommufd that its
// configuration names, else one that functions share as far as the IOMMU treats their DMA alike. A group whose IOMMU unit
// cannot make DMA snoop (VT-d without snoop control) would take that from its container, so it goes to one beside it.
// Source: VFIO_DMA_CC_IOMMU of include/uapi/linux/vfio.h; drivers/vfio/vfio_iommu_type1.c (one page table for each kind).
// Invariants: RAM is pinned, and charged, once for each container; a second one is not worth a start that fails, so where
// locked memory does not suffice for it the first is shared; what was named is never overruled.
import type { Host } from "@minivmm/host";
import { iommuGroupOf, type VfioDevice, VfioError, type VfioGroup } from "@minivmm/vfio-core";
import type { VfioPciConfig } from "../../config/functions.ts";
import { IommufdSession } from "../../pci/iommufd-session.ts";
import type { KvmGroups } from "../../pci/kvm-groups.ts";
import { CONTAINER_APART, SHARED_CONTAINER, SnoopPlacement } from "../../pci/snoop-placement.ts";
import { groupEnforcesSnoop } from "../../pci/snoop-probe.ts";
import { Type1Setup } from "../../pci/type1-setup.ts";
import { type DeviceSession, VfioSession } from "../../pci/vfio-session.ts";
import type { ContainerNow } from "../../running-attributes.ts";
import type { DomainSummary } from "../../summary.ts";
import type { PcRam } from "./ram.ts";

export interface PcDomainsOptions {
  /** The host that devices are on. */
  readonly host: Host;
  readonly ram: PcRam;
  /** Absent where KVM is on another host. */
  readonly kvm: KvmGroups | undefined;
}

/** A function, and what to give it back through. */
export interface OpenedFunction {
  readonly device: VfioDevice;
  readonly session: DeviceSession;
}

interface Domain {
  readonly name: string;
  readonly functions: string[];
  readonly session: DeviceSession;
  /** As it is now: each group that joins may change it. */
  enforcesSnoop(): boolean | null;
}

/** Name of the domain that a configuration asks for. */
export function domainName({ container, containerFd, iommufd }: VfioPciConfig): string {
  if (iommufd !== undefined) return `iommufd ${iommufd.id}`;
  return containerFd !== undefined ? `descriptor ${containerFd}` : container || SHARED_CONTAINER;
}

export class PcDomains {
  /** Where DMA need not snoop for want of locked memory, in words. */
  readonly notes: string[] = [];
  private readonly options: PcDomainsOptions;
  private readonly domains = new Map<string, Domain>();
  private readonly placement = new SnoopPlacement((name) => this.domains.get(name)?.enforcesSnoop() ?? null);

  constructor(options: PcDomainsOptions) {
    this.options = options;
  }

  /** Groups that are held, for a reset that needs to prove it. */
  get heldGroups(): readonly VfioGroup[] {
    return [...this.domains.values()].flatMap(({ session }) => session.heldGroups);
  }

  /** Some DMA need not snoop; null where that is not known. */
  get nonCoherent(): boolean | null {
    const all = [...this.domains.values()].map(({ enforcesSnoop }) => enforcesSnoop());
    if (all.includes(false)) return true;
    return all.includes(null) ? null : false;
  }

  /** Opens a function in its domain. Throws VfioError, VmmError PASSTHROUGH. */
  open(config: VfioPciConfig): OpenedFunction {
    if (isFree(config)) return this.openFree(config);
    return openIn(this.domains.get(domainName(config)) ?? this.add(config), config);
  }

  summaries(): DomainSummary[] {
    const mappedBytes = this.options.ram.size;
    return [...this.domains.values()].map(({ name, functions, enforcesSnoop }) => {
      return { name, functions: [...functions], mappedBytes, enforcesSnoop: enforcesSnoop() };
    });
  }

  /** As they are now; one without functions has no RAM mapped. */
  containers(): ContainerNow[] {
    const pinnedBytes = this.options.ram.size;
    return [...this.domains.values()]
      .filter(({ functions }) => functions.length > 0)
      .map(({ name, functions, session, enforcesSnoop }) => ({
        name,
        functions: [...functions],
        groups: session.heldGroups.map(({ id }) => id),
        iommu: "type1",
        enforcesSnoop: enforcesSnoop(),
        pinnedBytes,
      }));
  }

  /** Never throws. */
  close(): void {
    for (const { session } of this.domains.values()) session.close();
    this.domains.clear();
  }

  private openFree(config: VfioPciConfig): OpenedFunction {
    const { host } = this.options;
    const group = iommuGroupOf(host, config.host);
    const name = this.placement.place(group, () => groupEnforcesSnoop(host, config.host, config.groupFd));
    const domain = this.domains.get(name) ?? this.addContainer(name, undefined);
    if (name !== CONTAINER_APART || domain.functions.length > 0) return openIn(domain, config);
    try {
      return openIn(domain, config);
    } catch (error) {
      if (!(error instanceof VfioError) || error.code !== "MEMLOCK") throw error;
      domain.session.close();
      this.domains.delete(name);
      this.placement.mix(group);
      this.notes.push(
        `${config.host} shares a container with functions whose DMA is treated otherwise, so that of none is sure to snoop: one of its own would have RAM charged again (${error.message})`,
      );
      return openIn(this.domains.get(SHARED_CONTAINER) as Domain, config);
    }
  }

  private add(config: VfioPciConfig): Domain {
    const { iommufd, containerFd } = config;
    const name = domainName(config);
    if (iommufd === undefined) return this.addContainer(name, containerFd);
    const { host, ram, kvm } = this.options;
    const session = new IommufdSession({ host, ram, fd: iommufd.fd, kvm });
    const domain = { name, functions: [], session, enforcesSnoop: () => session.enforcesSnoop };
    this.domains.set(name, domain);
    return domain;
  }

  private addContainer(name: string, fd: number | undefined): Domain {
    const { host, ram, kvm } = this.options;
    const session = new VfioSession(host, fd, (made, type) => new Type1Setup(made, type, ram, kvm));
    const domain = { name, functions: [], session, enforcesSnoop: () => session.iommu?.enforcesSnoop ?? null };
    this.domains.set(name, domain);
    return domain;
  }
}

function openIn({ session, functions }: Domain, config: VfioPciConfig): OpenedFunction {
  const device = session.open(config.host, config.iommufd === undefined ? config.groupFd : config.deviceFd);
  functions.push(config.host);
  return { device, session };
}

/** The configuration leaves the choice of the domain to the machine. */
function isFree({ container = "", containerFd, iommufd }: VfioPciConfig): boolean {
  return container === "" && containerFd === undefined && iommufd === undefined;
}
