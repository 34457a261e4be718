// The devices of one machine pc: functions of the host, through containers or an iommufd, and device models plugged in.
// Order: sessions (RAM mapped, KVM told), devices opened, those that cannot reset themselves reset, endpoints plugged.
// Tearing down is the reverse. Devices that name the same container (or iommufd) share an IOMMU domain.
// Invariant: what a configuration asks for is there or the constructor has thrown and given everything back.
import type { Host } from "@minivmm/host";
import type { VfioDevice } from "@minivmm/vfio-core";
import type { PcKvm } from "../../accel/x86/pc-kvm.ts";
import { checkFunctions, type EmulatedConfig, type VfioPciConfig } from "../../config/functions.ts";
import { resetWhatCannotItself } from "../../pci/device-resets.ts";
import { EmulatedEndpoint } from "../../pci/emulated.ts";
import { HostRequests, type WatchDescriptor } from "../../pci/host-requests.ts";
import { IommufdSession } from "../../pci/iommufd-session.ts";
import { KvmGroups } from "../../pci/kvm-groups.ts";
import { KvmIrqDelivery } from "../../pci/kvm-irq-delivery.ts";
import { Type1Setup } from "../../pci/type1-setup.ts";
import { VfioPciEndpoint } from "../../pci/vfio-pci.ts";
import { type DeviceSession, VfioSession } from "../../pci/vfio-session.ts";
import type { DeviceSummary, DomainSummary } from "../../summary.ts";
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
  /** A device had an error that it does not recover from. */
  readonly failed: (message: string) => void;
}

interface Domain {
  readonly name: string;
  readonly functions: string[];
  readonly session: DeviceSession;
  enforcesSnoop(): boolean | null;
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
  private readonly domains = new Map<string, Domain>();
  private readonly plugged: Plugged[] = [];
  private readonly notes = new Map<string, string[]>();

  /** Throws VfioError, VmmError PASSTHROUGH, USAGE_DEVICE or USAGE_CONFIG. */
  constructor(options: PcDevicesOptions) {
    this.options = options;
    const { kvm, host } = options;
    this.groups = kvm.host === host && options.devices.some(isVfio) ? new KvmGroups(kvm.vm) : undefined;
    try {
      this.plugAll();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** KVM's refusals, in words. */
  get problems(): readonly string[] {
    return this.groups?.problems ?? [];
  }

  domainSummaries(): DomainSummary[] {
    const mappedBytes = this.options.ram.size;
    return [...this.domains.values()].map(({ name, functions, enforcesSnoop }) => {
      return { name, functions: [...functions], mappedBytes, enforcesSnoop: enforcesSnoop() };
    });
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
    const { host } = this.options;
    for (const { endpoint, requests, gone } of this.plugged) {
      if (gone) continue;
      requests.close();
      endpoint.close();
    }
    const devices = this.plugged.filter(({ gone }) => !gone).map(({ device }) => device);
    if (devices.length > 0) resetWhatCannotItself(host, devices, this.heldGroups());
    for (const { session } of this.domains.values()) session.close();
    this.groups?.close();
    this.plugged.length = 0;
    this.domains.clear();
  }

  private plugAll(): void {
    const { host } = this.options;
    const devices = checkFunctions<EmulatedConfig>(this.options.devices);
    const named = devices.map((config, index) => ({ config, name: config.id ?? `dev${index}` }));
    const opened = named.flatMap(({ config, name }) => {
      if (!isVfio(config)) return [];
      const domain = this.domainOf(config);
      domain.functions.push(config.host);
      const inherited = config.iommufd === undefined ? config.groupFd : config.deviceFd;
      return [{ name, device: domain.session.open(config.host, inherited) }];
    });
    const failures = resetWhatCannotItself(
      host,
      opened.map(({ device }) => device),
      this.heldGroups(),
    );
    for (const { device, message } of failures) {
      const name = opened.find((each) => each.device === device)?.name ?? device.name;
      this.notes.set(name, [...(this.notes.get(name) ?? []), message]);
    }
    for (const { config, name } of named) {
      const device = opened.find((each) => each.name === name)?.device;
      if (isVfio(config)) this.plugFunction(name, config, device as VfioDevice);
      else this.options.bridge.plug(new EmulatedEndpoint(name, config.device, ramDma(this.options.ram)), config.slot);
    }
  }

  private plugFunction(name: string, config: VfioPciConfig, device: VfioDevice): void {
    const { kvm, host, bridge, watch, failed } = this.options;
    const sameHost = kvm.host === host;
    const endpoint = new VfioPciEndpoint(name, host, device, {
      onRootComplex: true,
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
    bridge.plug(endpoint, config.slot);
    const requests = new HostRequests(host, device, watch, {
      wanted: () => this.giveBack(name),
      failed: () => failed(`device ${name} (${device.name}) had an error that it does not recover from`),
    });
    const { session } = this.domainOf(config);
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

  private heldGroups() {
    return [...this.domains.values()].flatMap(({ session }) => session.heldGroups);
  }

  private domainOf(config: VfioPciConfig): Domain {
    const { host, ram } = this.options;
    const { container = "", containerFd, iommufd } = config;
    const key =
      iommufd !== undefined
        ? `iommufd ${iommufd.id}`
        : containerFd !== undefined
          ? `descriptor ${containerFd}`
          : container || "default";
    const known = this.domains.get(key);
    if (known !== undefined) return known;
    const domain: Domain =
      iommufd === undefined
        ? containerDomain(
            key,
            new VfioSession(host, containerFd, (made, type) => new Type1Setup(made, type, ram, this.groups)),
          )
        : {
            name: key,
            functions: [],
            session: new IommufdSession({ host, ram, fd: iommufd.fd, kvm: this.groups }),
            enforcesSnoop: () => null,
          };
    this.domains.set(key, domain);
    return domain;
  }
}

function containerDomain(name: string, session: VfioSession<Type1Setup>): Domain {
  return { name, functions: [], session, enforcesSnoop: () => session.iommu?.enforcesSnoop ?? null };
}

function isVfio(config: PcDeviceConfig): config is VfioPciConfig {
  return config.driver === "vfio-pci";
}
