// A host's PCI hardware as plain data (JSON). Addresses inside a bus are `device.function` in hexadecimal; bus numbers
// and BAR addresses are found by the modelled firmware unless the description insists.

import type { PciDevice } from "../device.ts";
import type { AddressWindow, BridgeWindows } from "./windows.ts";

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
  /** How INTx pins are wired. Default: pins lead nowhere, lines are 0. */
  readonly interrupts?: InterruptWiring;
  /** What firmware leaves in COMMAND of every function. Default: 0, and everything on for bridges. */
  readonly command?: number;
  /** What the kernel did to ports when it started. Default: nothing. */
  readonly ports?: PortServices;
  readonly devices: readonly FunctionDescription[];
}

/**
 * How a host bridge wires the pins of its root bus: device numbers `slots` share `links`, entered at pin A for every
 * device or, rotated, one further for each device number. Pins behind bridges rotate by device number
 * (PCI-to-PCI Bridge 1.2, section 9.1).
 */
export interface InterruptWiring {
  readonly slots: readonly SlotWiring[];
  /** Interrupt lines that firmware writes, by link. */
  readonly lines: readonly number[];
}

export interface SlotWiring {
  /** First and last device number. */
  readonly devices: readonly [number, number];
  readonly rotate: boolean;
  /** Global system interrupt of the first link. */
  readonly gsi: number;
}

/** The kernel's drivers of PCI Express ports: error reporting, hot-plug, and the messages they are told by. */
export interface PortServices {
  /** Upstream ports take an interrupt, too (Linux before 6.2). Default false. */
  readonly upstream?: boolean;
  /** First free entry of the interrupt remapping table; absent: messages are not remapped. */
  readonly remapping?: number;
  /** Linux interrupt number of the first message. */
  readonly firstIrq: number;
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
  /** Ports: physical slot number. Default 0. */
  readonly slot?: number;
  /** Bridges: windows, in place of those that firmware would find. */
  readonly windows?: BridgeWindows;
  /** What firmware left in COMMAND of this function. */
  readonly command?: number;
  /** Its driver uses MSI-X. Default false. */
  readonly messages?: boolean;
  /**
   * The host's firmware shows this function's expansion ROM at 0xc0000 in memory: what software reads there. Such a
   * function needs no ROM of its own.
   */
  readonly shadowRom?: Uint8Array;
  /** The header says that there are more functions. Default: on function 0 of a slot with several. */
  readonly multifunction?: boolean;
  /** Driver bound at boot; null or absent: none. */
  readonly driver?: string | null;
  /** By index: 0..5, 6 for the ROM, 7..12 for what all virtual functions have as BARs 0..5. */
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
