/**
 * One PCI function as sysfs shows it, for planning a reset before VFIO is asked: driver, group, ways to reset it alone.
 *
 * Source: Documentation/ABI/testing/sysfs-bus-pci. Nothing is written, no node is opened; what cannot be read is null.
 */
import type { Host } from "@minivmm/host";
import { driverOf } from "@minivmm/vfio-core";

export const DEVICES = "/sys/bus/pci/devices";

export interface FunctionFacts {
  /** `0000:01:00.0` */
  readonly bdf: string;
  readonly vendor: number | null;
  readonly device: number | null;
  /** Base class, subclass, programming interface: 24 bits. */
  readonly classCode: number | null;
  /** Bound driver, null for none. */
  readonly driver: string | null;
  /** IOMMU group, null for none. */
  readonly group: number | null;
  /** A bridge (header type 1): VFIO never takes one. */
  readonly bridge: boolean;
  /** For a virtual function of SR-IOV: the physical function it belongs to. */
  readonly physicalFunction: string | null;
  /** Ways to reset this function alone, in the kernel's order; null: the kernel does not tell (before 5.15). */
  readonly resetMethods: readonly string[] | null;
}

const PCI_HEADER_TYPE = 0x0e;
const PCI_SECONDARY_BUS = 0x19;

export function functionFacts(host: Host, bdf: string): FunctionFacts {
  const at = `${DEVICES}/${bdf}`;
  const group = linkName(host, `${at}/iommu_group`);
  return {
    bdf,
    vendor: hexFile(host, `${at}/vendor`),
    device: hexFile(host, `${at}/device`),
    classCode: hexFile(host, `${at}/class`),
    driver: driverOf(host, bdf),
    group: group !== null && /^\d+$/.test(group) ? Number(group) : null,
    bridge: secondaryBus(host, bdf) !== null,
    physicalFunction: linkName(host, `${at}/physfn`),
    resetMethods: resetMethodsOf(host, at),
  };
}

/** vfio-pci itself or a driver built on it (mlx5_vfio_pci, virtio_vfio_pci, ...). Their devices share reset sets. */
export function isVfioPciDriver(driver: string | null): boolean {
  return driver !== null && /vfio[-_]pci$/.test(driver);
}

/** Number of the bus behind a bridge; null for a function that is no bridge or does not answer. */
export function secondaryBus(host: Host, bdf: string): number | null {
  const config = configHeader(host, bdf);
  if (config === null || ((config[PCI_HEADER_TYPE] as number) & 0x7f) !== 1) return null;
  return config[PCI_SECONDARY_BUS] as number;
}

/** The first 64 bytes of configuration space, which everybody may read; null when they cannot be read. */
export function configHeader(host: Host, bdf: string): Uint8Array | null {
  const bytes = host.readFile(`${DEVICES}/${bdf}/config`);
  return typeof bytes === "number" || bytes.length < 64 ? null : bytes.slice(0, 64);
}

/** Text of a file without what surrounds it; null when it cannot be read. */
export function textFile(host: Host, path: string): string | null {
  const bytes = host.readFile(path);
  return typeof bytes === "number" ? null : new TextDecoder().decode(bytes).trim();
}

/** Last part of where a link leads, null for none. */
export function linkName(host: Host, path: string): string | null {
  const target = host.readlink(path);
  return typeof target === "string" ? target.slice(target.lastIndexOf("/") + 1) : null;
}

function hexFile(host: Host, path: string): number | null {
  const value = Number.parseInt(textFile(host, path) ?? "", 16);
  return Number.isNaN(value) ? null : value;
}

/** A function without `reset` has no way; one with it but without `reset_method` has one that an old kernel keeps. */
function resetMethodsOf(host: Host, at: string): string[] | null {
  const text = textFile(host, `${at}/reset_method`);
  if (text !== null) return text === "" ? [] : text.split(/\s+/);
  return host.exists(`${at}/reset`) ? null : [];
}
