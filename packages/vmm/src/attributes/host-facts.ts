// What a host says of itself and of its functions to anybody who reads files: kernel release, CPU vendor, locked memory of
// this process, BARs. No device is opened.
// Source: /proc/sys/kernel/osrelease, /proc/cpuinfo, /proc/self/status; resource and config of
// Documentation/ABI/testing/sysfs-bus-pci; include/linux/ioport.h; vfio_pci_probe_mmaps for what can be mapped.
// Invariant: a file that is missing, or says nothing that is understood, gives null and never an error.
import { type Host, lockedBytes } from "@minivmm/host";
import { fullBdf } from "@minivmm/vfio-core";

const IORESOURCE_IO = 0x100;
const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_MEM_64 = 0x10_0000;
const ROM = 6;
const BARS = 7;
const CAP_IPC_LOCK = 14;
const CAP_MSIX = 0x11;
const STATUS_HAS_CAPABILITIES = 0x10;

export interface BarFacts {
  /** 0 to 5, or 6 for the expansion ROM. */
  readonly index: number;
  readonly kind: "mem32" | "mem64" | "io" | "rom";
  /** Bytes. */
  readonly size: number;
  readonly prefetchable: boolean;
  /**
   * Whether vfio-pci lets it be mapped: "alone" is a BAR smaller than a page, which can be where nothing else shares its
   * page; that is known only once the device is open.
   */
  readonly mappable: "yes" | "alone" | "no";
  /** The MSI-X table is in it: a monitor keeps those pages to itself. Null: configuration space cannot be read so far. */
  readonly msixTable: boolean | null;
}

const text = (bytes: Uint8Array | number): string | null =>
  typeof bytes === "number" ? null : new TextDecoder().decode(bytes);

/** [major, minor] of the host's kernel: what it says, else what its name says; null when neither does. */
export function kernelRelease(host: Host): readonly [number, number] | null {
  const match =
    /^(\d+)\.(\d+)/.exec(text(host.readFile("/proc/sys/kernel/osrelease")) ?? "") ??
    /\bLinux (\d+)\.(\d+)/.exec(host.name);
  return match === null ? null : [Number(match[1]), Number(match[2])];
}

/** Whether a release is `major.minor` or later; an unknown one counts as late. */
export function isAtLeast(release: readonly [number, number] | null, major: number, minor: number): boolean {
  return release === null || release[0] > major || (release[0] === major && release[1] >= minor);
}

/** From /proc/cpuinfo; null where there is none, or it is another's. */
export function cpuVendor(host: Host): "intel" | "amd" | "power" | null {
  if (host.arch === "ppc64le") return "power";
  const id = /^vendor_id\s*:\s*(\S+)/m.exec(text(host.readFile("/proc/cpuinfo")) ?? "")?.[1];
  if (id === "GenuineIntel") return "intel";
  return id === "AuthenticAMD" || id === "HygonGenuine" ? "amd" : null;
}

export interface LockFacts {
  /** RLIMIT_MEMLOCK in bytes, Infinity for none. */
  readonly soft: number;
  readonly hard: number;
  /** Bytes charged to this process already; null when the host does not tell. */
  readonly locked: number | null;
  /** Whether this process has CAP_IPC_LOCK, with which the limit does not count; null when the host does not tell. */
  readonly ipcLock: boolean | null;
}

export function lockFacts(host: Host): LockFacts {
  const status = host.readFile("/proc/self/status");
  const effective = /^CapEff:\s*([0-9a-f]{1,16})\s*$/m.exec(text(status) ?? "")?.[1];
  return {
    ...host.getrlimit("memlock"),
    locked: lockedBytes(status),
    ipcLock: effective === undefined ? null : ((BigInt(`0x${effective}`) >> BigInt(CAP_IPC_LOCK)) & 1n) === 1n,
  };
}

/** BARs that a function has and the host has placed, in their order. */
export function barsOf(host: Host, bdf: string): BarFacts[] {
  const folder = `/sys/bus/pci/devices/${fullBdf(bdf)}`;
  const rows = (text(host.readFile(`${folder}/resource`)) ?? "").split("\n").slice(0, BARS);
  const msix = msixBar(host.readFile(`${folder}/config`));
  return rows.flatMap((row, index) => barOf(row, index, host.pageSize, msix) ?? []);
}

function barOf(row: string, index: number, pageSize: number, msix: number | null): BarFacts | null {
  const [start = Number.NaN, end = Number.NaN, flags = 0] = row.trim().split(/\s+/).map(Number);
  const size = end - start + 1;
  if (!(size > 1) || (flags & (IORESOURCE_IO | IORESOURCE_MEM)) === 0) return null;
  const port = (flags & IORESOURCE_IO) !== 0;
  const memory = (flags & IORESOURCE_MEM_64) !== 0 ? "mem64" : "mem32";
  const kind = port ? "io" : index === ROM ? "rom" : memory;
  return {
    index,
    kind,
    size,
    prefetchable: !port && (flags & IORESOURCE_PREFETCH) !== 0,
    mappable: kind === "io" || kind === "rom" ? "no" : mappable(start, size, pageSize),
    msixTable: msix === null ? null : msix === index,
  };
}

/** vfio_pci_probe_mmaps: whole pages, or a part of one that begins it. */
function mappable(start: number, size: number, pageSize: number): BarFacts["mappable"] {
  if (size >= pageSize) return "yes";
  return start % pageSize === 0 ? "alone" : "no";
}

/** BAR with the MSI-X table, -1 for a function without; null when the capabilities cannot be read. */
function msixBar(config: Uint8Array | number): number | null {
  // Without privileges the first 64 bytes are all there is.
  if (typeof config === "number" || config.length < 256) return null;
  if (((config[6] as number) & STATUS_HAS_CAPABILITIES) === 0) return -1;
  let at = (config[0x34] as number) & 0xfc;
  for (let count = 0; at >= 0x40 && count < 48; count++) {
    if (config[at] === CAP_MSIX) return (config[at + 4] as number) & 7;
    at = (config[at + 1] as number) & 0xfc;
  }
  return -1;
}
