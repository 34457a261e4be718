/**
 * Which processes have a node open: the links of /proc/PID/fd, as far as this user may see them (its own, root all).
 *
 * A group's file lives on while a device of it is open, and such a descriptor says only that it is a VFIO device: who
 * has one is the second guess. Source: fs/proc/fd.c; vfio_group_fops_open, vfio_device_open_file (drivers/vfio).
 */
import type { Host } from "@minivmm/host";
import { namesIn, textFile } from "./text-file.ts";

export interface Holder {
  readonly pid: number;
  /** Name of its command, null when it cannot be read. */
  readonly command: string | null;
  /** What it has open; null: a VFIO device, which may be of the group that was asked about. */
  readonly node: string | null;
  /** It is the process that asks. */
  readonly self: boolean;
}

const DEVICE = "anon_inode:[vfio-device]";
const SHOWN = 4;

/** Who has one of the nodes open, by pid; when nobody can be seen to, who has VFIO devices open. */
export function holdersOf(host: Host, nodes: readonly string[]): Holder[] {
  const self = host.readlink("/proc/self");
  const pids = namesIn(host, "/proc").filter((name) => /^\d+$/.test(name));
  const holders: Holder[] = [];
  const suspects: Holder[] = [];
  for (const pid of pids) {
    const links = namesIn(host, `/proc/${pid}/fd`).map((fd) => host.readlink(`/proc/${pid}/fd/${fd}`));
    const node = nodes.find((each) => links.includes(each)) ?? null;
    if (node === null && !links.includes(DEVICE)) continue;
    const command = textFile(host, `/proc/${pid}/comm`);
    (node === null ? suspects : holders).push({ pid: Number(pid), command, node, self: pid === self });
  }
  return (holders.length > 0 ? holders : suspects).sort((a, b) => a.pid - b.pid);
}

/** "process 4711 (qemu) has /dev/vfio/4 open": a sentence without a full stop. `node` is named when nobody is seen. */
export function holdersText(holders: readonly Holder[], node: string): string {
  const seen = holders.find((holder) => holder.node !== null);
  if (seen) return `${processes(holders)} ${holders.length > 1 ? "have" : "has"} ${seen.node} open`;
  const nobody = `no process that can be seen from here has ${node} open`;
  return holders.length === 0 ? nobody : `${nobody}; VFIO devices, perhaps of it, are open in ${processes(holders)}`;
}

/** What to do about them, in sentences. */
export function holdersRemedy(holders: readonly Holder[], node: string): string {
  const hidden = `It may be a process of another account or container: as root, fuser -v ${node} tells; then end it.`;
  if (holders.length === 0) return hidden;
  if (holders.every((holder) => holder.node === null))
    return `Look whether ${processes(holders)} uses it. If not: ${hidden.charAt(0).toLowerCase()}${hidden.slice(1)}`;
  if (holders.some(({ self }) => self)) return "Use the descriptor that is open, or close it.";
  return `End ${processes(holders)}, or take another device.`;
}

function processes(holders: readonly Holder[]): string {
  if (holders.length === 1 && holders[0]?.self) return "this process";
  const names = holders.map(({ pid, command }) => (command === null ? `${pid}` : `${pid} (${command})`));
  const rest = names.length - SHOWN;
  const list = rest > 0 ? `${names.slice(0, SHOWN).join(", ")} and ${rest} more` : names.join(", ");
  return `process${names.length > 1 ? "es" : ""} ${list}`;
}
