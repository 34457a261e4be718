// The devices of one machine pc: functions of the host, through containers or an iommufd, and device models plugged in.
// Order: sessions (RAM mapped, KVM told), devices opened, those that cannot reset themselves reset, endpoints plugged.
// Tearing down is the reverse. Devices that name the same container (or iommufd) share an IOMMU domain.
// Invariant: what a configuration asks for is there or the constructor has thrown and given everything back.
import type { Host } from "@minivmm/host";
import type { DmaWatch } from "@minivmm/pci";
import type { VfioDevice } from "@minivmm/vfio-core";
import type { PcKvm } from "../../accel/x86/pc-kvm.ts";
import { cpuVendor, isAtLeast, kernelRelease } from "../../attributes/host-facts.ts";
import { type KvmDmaFacts, kvmDmaFacts } from "../../attributes/kvm-dma.ts";
import type { CoherencyLog } from "../../coherency/report.ts";
import { checkFunctions, type EmulatedConfig, type VfioPciConfig } from "../../config/functions.ts";
import { resetWhatCannotItself } from "../../pci/device-resets.ts";
import { EmulatedEndpoint } from "../../pci/emulated.ts";
import { requireOneDomainPerGroup } from "../../pci/group-domains.ts";
import { HostRequests, type WatchDescriptor } from "../../pci/host-requests.ts";
import { KvmGroups } from "../../pci/kvm-groups.ts";
import { KvmIrqDelivery } from "../../pci/kvm-irq-delivery.ts";
import { VfioPciEndpoint } from "../../pci/vfio-pci.ts";
import type { DeviceSession } from "../../pci/vfio-session.ts";
import type { ContainerNow } from "../../running-attributes.ts";
import type { DeviceSummary, DomainSummary } from "../../summary.ts";
import { PcDmaCheck } from "./dma-check.ts";
import { domainName, type OpenedFunction, PcDomains } from "./domains.ts";
import type { PcHostBridge } from "./host-bridge.ts";
import { type PcRam, ramDma } from "./ram.ts";

export type PcDeviceConfig = VfioPciConfig | EmulatedConfig;

export interface PcDevicesOptions {
  readonly kvm: PcKvm;
  /** The host that devices are on; KVM may be another one's. */
  readonly host: Host;
  readonly ram: PcRam;
  readonly bridge: PcHostBridge;
  readonly devices: readonly PcDeviceConfig[];
  readonly watch: WatchDescriptor;
  /** Runs something a few milliseconds later. */
  readonly later?: ((run: () => void) => void) | undefined;
  /** A device had an error that it does not recover from. */
  readonly failed: (message: string) => void;
  /** Looks at what devices do with memory. Default: nobody does. */
  readonly check?: PcCheckOptions | undefined;
}

export interface PcCheckOptions {
  readonly log: CoherencyLog;
  /** As in PcDmaCheckOptions. */
  readonly pc: () => bigint | null;
  /** A host that tells of its functions' DMA. */
  readonly observeDma?: ((watch: DmaWatch | null) => void) | undefined;
}

interface Plugged {
  readonly name: string;
  readonly device: VfioDevice;
  readonly session: DeviceSession;
  readonly endpoint: VfioPciEndpoint;
  readonly requests: HostRequests;
  gone: boolean;
}

export class PcDevices {
  private readonly options: PcDevicesOptions;
  private readonly groups: KvmGroups | undefined;
  private readonly domains: PcDomains;
  private readonly plugged: Plugged[] = [];
  private readonly notes = new Map<string, string[]>();

  /** Throws VfioError, VmmError PASSTHROUGH, USAGE_DEVICE or USAGE_CONFIG. */
  constructor(options: PcDevicesOptions) {
    this.options = options;
    const { kvm, host } = options;
    this.groups = kvm.host === host && options.devices.some(isVfio) ? new KvmGroups(kvm.vm) : undefined;
    this.domains = new PcDomains({ host, ram: options.ram, kvm: this.groups });
    try {
      this.plugAll();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** KVM's refusals, and domains that are not what they should be, in words. */
  get problems(): readonly string[] {
    return [...this.domains.notes, ...(this.groups?.problems ?? [])];
  }

  domainSummaries(): DomainSummary[] {
    return this.domains.summaries();
  }

  /** What KVM makes of their DMA; undefined where it has not been told of any. */
  kvmDma(): KvmDmaFacts | undefined {
    if (this.groups === undefined || this.groups.count === 0) return undefined;
    const { host } = this.options.kvm;
    const vendor = cpuVendor(host);
    const rules = isAtLeast(kernelRelease(host), 6, 11) ? "6.12" : "6.1";
    return kvmDmaFacts(vendor === "power" ? null : vendor, rules, this.domains.nonCoherent);
  }

  /** The host that devices are on, whose process is charged for what is locked. */
  get host(): Host {
    return this.options.host;
  }

  containers(): ContainerNow[] {
    return this.domains.containers();
  }

  deviceSummaries(): DeviceSummary[] {
    return this.options.bridge.slots
      .filter(({ slot }) => slot > 0)
      .map(({ slot, endpoint }) => {
        const problems = [...(this.notes.get(endpoint.name) ?? []), ...endpoint.problems];
        const direct = endpoint instanceof VfioPciEndpoint ? { directBytes: endpoint.directBytes } : {};
        return { name: endpoint.name, slot, problems, ...direct };
      });
  }

  /** Never throws. */
  close(): void {
    const { host, check } = this.options;
    check?.observeDma?.(null);
    for (const { endpoint, requests, gone } of this.plugged) {
      if (gone) continue;
      requests.close();
      endpoint.close();
    }
    const devices = this.plugged.filter(({ gone }) => !gone).map(({ device }) => device);
    if (devices.length > 0) resetWhatCannotItself(host, devices, this.domains.heldGroups);
    this.domains.close();
    this.groups?.close();
    this.plugged.length = 0;
  }

  private plugAll(): void {
    const { host } = this.options;
    const devices = checkFunctions<EmulatedConfig>(this.options.devices);
    const named = devices.map((config, index) => ({ config, name: config.id ?? `dev${index}` }));
    requireOneDomainPerGroup(
      host,
      devices.filter(isVfio).map((config) => ({ bdf: config.host, domain: domainName(config) })),
    );
    const opened = named.flatMap(({ config, name }) => {
      if (!isVfio(config)) return [];
      return [{ name, ...this.domains.open(config) }];
    });
    const failures = resetWhatCannotItself(
      host,
      opened.map(({ device }) => device),
      this.domains.heldGroups,
    );
    for (const { device, message } of failures) {
      const name = opened.find((each) => each.device === device)?.name ?? device.name;
      this.notes.set(name, [...(this.notes.get(name) ?? []), message]);
    }
    const check = this.options.check && new PcDmaCheck({ ...this.options.check, ram: this.options.ram });
    for (const { config, name } of named) {
      const taken = opened.find((each) => each.name === name);
      if (isVfio(config)) this.plugFunction(name, config, taken as OpenedFunction);
      else this.plugModel(name, config, check);
    }
    const names = named.flatMap(({ config, name }) => (isVfio(config) ? [[config.host, name] as const] : []));
    if (check !== undefined && names.length > 0) this.options.check?.observeDma?.(check.watch(new Map(names)));
  }

  private plugModel(name: string, { device, slot }: EmulatedConfig, check: PcDmaCheck | undefined): void {
    const dma = ramDma(this.options.ram);
    this.options.bridge.plug(new EmulatedEndpoint(name, device, check?.guard(name, dma) ?? dma), slot);
  }

  private plugFunction(name: string, { slot }: VfioPciConfig, { device, session }: OpenedFunction): void {
    const { kvm, host, bridge, watch, failed } = this.options;
    const sameHost = kvm.host === host;
    const endpoint = new VfioPciEndpoint(name, host, device, {
      onRootComplex: true,
      later: this.options.later,
      slots: sameHost ? kvm : undefined,
      accessEndsPin: !sameHost,
      delivery: (gsi, problem) => {
        return new KvmIrqDelivery({
          vm: kvm.vm,
          routes: kvm.routes,
          kvmHost: kvm.host,
          deviceHost: host,
          gsi,
          problem,
        });
      },
    });
    bridge.plug(endpoint, slot);
    const requests = new HostRequests(host, device, watch, {
      wanted: () => this.giveBack(name),
      failed: () => failed(`device ${name} (${device.name}) had an error that it does not recover from`),
    });
    this.plugged.push({ name, device, session, endpoint, requests, gone: false });
  }

  /** The host wants a function back: the guest loses it. */
  private giveBack(name: string): void {
    const entry = this.plugged.find((each) => each.name === name);
    if (entry === undefined || entry.gone) return;
    entry.gone = true;
    entry.requests.close();
    entry.endpoint.remove();
    this.options.bridge.updateDecoding(entry.endpoint);
    entry.session.giveBack(entry.device);
    this.notes.set(name, [...(this.notes.get(name) ?? []), "the host took it back while the guest ran"]);
  }
}

function isVfio(config: PcDeviceConfig): config is VfioPciConfig {
  return config.driver === "vfio-pci";
}
