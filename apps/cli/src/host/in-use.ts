// What the host does with a PCI function at this moment: its mounted disks and swap, its network interfaces that are up.
// Sources: /sys/class/{block,net} (a link's target is the path of the device, through every function above it),
// /proc/self/mountinfo, /proc/swaps, /proc/net/route (Documentation/filesystems/proc.rst, Documentation/ABI/testing/sysfs-class-net).
// Invariant: nothing is written or opened. Mounts of other mount namespaces are not seen.
import type { Host } from "@minivmm/host";
import { linkName, textFile } from "@minivmm/pci-hotreset";

const BLOCK = "/sys/class/block";
const NET = "/sys/class/net";
const IFF_UP = 1;
const RTF_UP = 1;

export interface Use {
  readonly kind: "mount" | "swap" | "holder" | "network" | "unknown";
  /** Block device or network interface: "nvme0n1p2", "eth0". */
  readonly name: string;
  /** A sentence without a full stop: "nvme0n1p2 is mounted at /". */
  readonly message: string;
}

/** Everything of the host that would lose its device; empty: nothing is known to. */
export function usesOf(host: Host, bdf: string): Use[] {
  return [...disksInUse(host, bdf), ...networkInUse(host, bdf)];
}

/** Names of a class whose devices sit below the function. */
function below(host: Host, folder: string, bdf: string): string[] {
  const names = host.readdir(folder);
  if (typeof names === "number") return [];
  return names.filter((name) => {
    const target = host.readlink(`${folder}/${name}`);
    return typeof target === "string" && target.split("/").includes(bdf);
  });
}

function disksInUse(host: Host, bdf: string): Use[] {
  const own = below(host, BLOCK, bdf).map(visibleDisk);
  // A disk with several paths has its node, and its partitions, beside the controllers.
  const disks = [...new Set(own.flatMap((name) => [name, ...partitionsOf(host, name)]))].sort();
  if (disks.length === 0) return [];
  const mounts = mountsOf(host);
  if (mounts === null) {
    const name = disks[0] as string;
    const message = `${name} may be mounted: this process can read neither /proc/self/mountinfo nor /proc/mounts`;
    return [{ kind: "unknown", name, message }];
  }
  const swaps = swapsOf(host);
  return disks.flatMap((name) => usesOfDisk(host, name, mounts, swaps, new Set()));
}

/** nvme0c1n2, a path to a namespace, is hidden; nvme0n2 is what can be mounted. */
const visibleDisk = (name: string): string => name.replace(/^(nvme\d+)c\d+(n\d+)/, "$1$2");

function partitionsOf(host: Host, disk: string): string[] {
  const names = host.readdir(`${BLOCK}/${disk}`);
  return typeof names === "number" ? [] : names.filter((name) => host.exists(`${BLOCK}/${disk}/${name}/partition`));
}

interface Mount {
  /** "259:1"; null where only /proc/mounts can be read. */
  readonly device: string | null;
  readonly source: string;
  readonly point: string;
}

function usesOfDisk(
  host: Host,
  name: string,
  mounts: readonly Mount[],
  swaps: readonly string[],
  seen: Set<string>,
): Use[] {
  if (seen.has(name)) return [];
  seen.add(name);
  const device = textFile(host, `${BLOCK}/${name}/dev`);
  const mapped = textFile(host, `${BLOCK}/${name}/dm/name`);
  const nodes = [`/dev/${name}`, ...(mapped === null ? [] : [`/dev/mapper/${mapped}`])];
  const points = mounts
    .filter((mount) => nodes.includes(mount.source) || (device !== null && mount.device === device))
    .map(({ point }) => point);
  const uses: Use[] = [...new Set(points)].map((point) => ({
    kind: "mount",
    name,
    message: `${name} is mounted at ${point}`,
  }));
  if (swaps.some((swap) => nodes.includes(swap)))
    uses.push({ kind: "swap", name, message: `${name} is used for swap` });
  const listed = host.readdir(`${BLOCK}/${name}/holders`);
  const holders = typeof listed === "number" ? [] : listed;
  for (const holder of holders) {
    const above = usesOfDisk(host, holder, mounts, swaps, seen);
    if (above.length > 0) uses.push(...above.map((use) => ({ ...use, message: `${use.message} (on ${name})` })));
    else uses.push({ kind: "holder", name, message: `${name} is part of ${holder}` });
  }
  return uses;
}

/** Null when neither table of mounts can be read. */
function mountsOf(host: Host): Mount[] | null {
  const info = textFile(host, "/proc/self/mountinfo");
  if (info !== null) return linesOf(info).flatMap(mountInfo);
  const plain = textFile(host, "/proc/mounts");
  if (plain === null) return null;
  return linesOf(plain).flatMap((line) => {
    const [source, point] = line.split(" ");
    return source === undefined || point === undefined
      ? []
      : [{ device: null, source: unescaped(source), point: unescaped(point) }];
  });
}

/** "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/sda1 rw": optional fields end with the dash. */
function mountInfo(line: string): Mount[] {
  const fields = line.split(" ");
  const [device, point] = [fields[2], fields[4]];
  const source = fields[fields.indexOf("-", 6) + 2];
  if (device === undefined || point === undefined || source === undefined) return [];
  return [{ device, source: unescaped(source), point: unescaped(point) }];
}

function swapsOf(host: Host): string[] {
  return linesOf(textFile(host, "/proc/swaps") ?? "")
    .slice(1)
    .map((line) => unescaped(line.split(/\s/, 1)[0] as string));
}

/** Blanks and backslashes of names are octal in these tables. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

function networkInUse(host: Host, bdf: string): Use[] {
  const names = below(host, NET, bdf);
  const routed = names.length === 0 ? new Set<string>() : defaultRoutes(host);
  return names.flatMap((name) => {
    const reasons = [...upReasons(host, name), ...(routed.has(name) ? ["has the default route"] : [])];
    return reasons.length === 0
      ? []
      : [{ kind: "network" as const, name, message: `network interface ${name} ${reasons.join(" and ")}` }];
  });
}

/** An interface that is only switched on, without a link, serves nobody; one whose link is not known may. */
function upReasons(host: Host, name: string): string[] {
  const at = `${NET}/${name}`;
  const state = textFile(host, `${at}/operstate`);
  const flags = Number(textFile(host, `${at}/flags`) ?? "0");
  const on = (flags & IFF_UP) !== 0;
  // While the interface is off, reading carrier fails with EINVAL.
  const linked = textFile(host, `${at}/carrier`) === "1";
  const silent = on && (state === null || state === "unknown") && !host.exists(`${at}/carrier`);
  const master = linkName(host, `${at}/master`);
  return [
    ...(state === "up" || linked || silent || (on && state === "unknown") ? ["is up"] : []),
    ...(master === null ? [] : [`is part of ${master}`]),
  ];
}

/** Interfaces of IPv4 default routes. Columns: Iface Destination Gateway Flags ... Mask, numbers in hexadecimal. */
function defaultRoutes(host: Host): Set<string> {
  const rows = linesOf(textFile(host, "/proc/net/route") ?? "")
    .slice(1)
    .map((line) => line.trim().split(/\s+/));
  const hit = rows.filter(
    ([, destination, , flags, , , , mask]) =>
      destination === "00000000" && mask === "00000000" && (Number.parseInt(flags ?? "", 16) & RTF_UP) !== 0,
  );
  return new Set(hit.map(([name]) => name as string));
}
