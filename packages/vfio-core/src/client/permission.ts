/**
 * A node that may not be opened: whose it is, who asks, and what would help. EACCES comes from the file's mode, EPERM
 * from the cgroup of a container or service that has a list of devices. Source: fs/namei.c, security/device_cgroup.c.
 */
import { EACCES, EPERM, type FileStat, type Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import { textFile } from "./text-file.ts";

const READ_WRITE = 6;

/** Null when the reason is another one. `result` is -errno of the open. */
export function openDenied(host: Host, path: string, result: number): VfioError | null {
  if (result === -EPERM) return forbidden(path);
  if (result !== -EACCES) return null;
  const found = host.stat(path);
  const user = idOf(host, "Uid");
  const details = { path, user, ...(typeof found === "number" ? {} : found) };
  const owner = typeof found === "number" ? "" : `: ${ownerText(host, found)}`;
  const who = user === null || owner === "" ? "" : `; this process runs as ${nameOf(host, "passwd", user)}`;
  return new VfioError(`no permission to open ${path}${owner}${who}`, {
    code: "PERMISSION",
    errno: EACCES,
    details,
    hint: `${remedy(host, path, typeof found === "number" ? null : found, user)} Or let a process with more rights open it and hand its descriptor over.`,
  });
}

function forbidden(path: string): VfioError {
  return new VfioError(`${path} may not be opened from here: the process's device cgroup does not allow it`, {
    code: "PERMISSION",
    errno: EPERM,
    details: { path },
    hint: `Allow it to the container or service: --device ${path} with docker or podman, DeviceAllow=${path} rw with systemd.`,
  });
}

function remedy(host: Host, path: string, found: FileStat | null, user: number | null): string {
  const login = user === null ? null : loginOf(host, "passwd", user);
  if (found !== null && found.gid !== 0 && ((found.mode >> 3) & READ_WRITE) === READ_WRITE) {
    return `Join its group: usermod -a -G ${nameOf(host, "group", found.gid)} ${login ?? "LOGIN"}, then log in again.`;
  }
  const owner = login ?? user ?? "LOGIN";
  return `As root: chown ${owner} ${path} (until the next boot; for good by a udev rule, OWNER="${owner}").`;
}

function ownerText(host: Host, { mode, uid, gid }: FileStat): string {
  const octal = mode.toString(8).padStart(4, "0");
  return `owner ${nameOf(host, "passwd", uid)}, group ${nameOf(host, "group", gid)}, mode ${octal}`;
}

/** A name from /etc/passwd or /etc/group, or the number. */
function nameOf(host: Host, table: "passwd" | "group", id: number): string {
  return loginOf(host, table, id) ?? `${table === "passwd" ? "user " : ""}${id}`;
}

function loginOf(host: Host, table: "passwd" | "group", id: number): string | null {
  const rows = (textFile(host, `/etc/${table}`) ?? "").split("\n").map((row) => row.split(":"));
  return rows.find(([, , number]) => number === String(id))?.[0] ?? (id === 0 ? "root" : null);
}

function idOf(host: Host, field: string): number | null {
  const id = new RegExp(`^${field}:\\s*(?:\\d+\\s+)?(\\d+)`, "m").exec(textFile(host, "/proc/self/status") ?? "")?.[1];
  return id === undefined ? null : Number(id);
}
