// A host's PCI hardware as plain data (JSON). Addresses inside a bus are `device.function` in hexadecimal; bus numbers
// and BAR addresses are found by the modelled firmware unless the description insists.

import type { PciDevice } from "../device.ts";
import type { AddressWindow } from "./windows.ts";

export interface TopologyDescription {
  readonly domains: readonly DomainDescription[];
  /**
   * How functions are grouped. `acs` (default): pci_device_group of type1 hosts. `pe`: sPAPR bare metal, one group per
   * partitionable endpoint, which is a bus. `pe-phb`: one group per host bridge, as a pseries guest sees it. `none`.
   */
  readonly grouping?: Grouping;
  /** Smallest alignment of memory BARs in bytes. Default 4096; a 64 KiB-page host wants 65536. */
  readonly barAlignment?: number;
}

export type Grouping = "acs" | "pe" | "pe-phb" | "none";

export interface DomainDescription {
  /** Default: position in the list. */
  readonly domain?: number;
  /** Number of the root bus. Default 0. */
  readonly rootBus?: number;
  readonly memory32?: AddressWindow;
  readonly memory64?: AddressWindow;
  readonly io?: AddressWindow;
  readonly devices: readonly FunctionDescription[];
}

export type BridgeKind = "root-port" | "upstream-port" | "downstream-port" | "pcie-pci-bridge" | "pci-bridge";

export interface FunctionDescription {
  /** `device.function` on its bus, for example "1c.0". */
  readonly at: string;
  /** Name of a device model in the factory table that is given to `PciTopology.fromDescription`. */
  readonly model?: string;
  /** Options for that model; plain data. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** A device model made by the caller, instead of `model`. */
  readonly device?: PciDevice;
  /** This function is a bridge of that kind; it needs neither model nor device. */
  readonly bridge?: BridgeKind;
  /** Bridges: access control services present and enabled. Default true for root and downstream ports. */
  readonly acs?: boolean;
  /** Bridges: vendor, device and reset abilities, when the defaults of the kind do not do. */
  readonly bridgeOptions?: BridgeOverrides;
  /** Bridges: force the secondary bus number. */
  readonly secondaryBus?: number;
  /** Bridges: extra bus numbers kept free below (for SR-IOV). Default 0. */
  readonly reserveBuses?: number;
  /** Ports: a hotplug driver serves the slot below. Default false. */
  readonly hotplug?: boolean;
  readonly multifunction?: boolean;
  /** Driver bound at boot; null or absent: none. */
  readonly driver?: string | null;
  readonly bars?: Readonly<Record<string, BarPlacement>>;
  readonly children?: readonly FunctionDescription[];
}

export interface BridgeOverrides {
  readonly vendor?: number;
  readonly device?: number;
  readonly flr?: boolean;
  readonly noSoftReset?: boolean;
}

/** Where a BAR must be. One of the two. */
export interface BarPlacement {
  /** Host physical address. */
  readonly address?: number;
  /** Offset inside a page of its own: how a sub-page BAR that does not start at a page boundary comes about. */
  readonly pageOffset?: number;
}

/** Makes a device model from plain options. */
export type DeviceFactory = (options: Readonly<Record<string, unknown>>) => PciDevice;
export type DeviceFactories = Readonly<Record<string, DeviceFactory>>;
