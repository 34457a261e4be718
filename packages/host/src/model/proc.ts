// The part of /proc that tells of processes: who there is, what each has open and may have locked. The real host has the
// same files, so a program can find out who holds a device, and watch its locked memory, the same way on both.
// Source: fs/proc/base.c, fd.c (proc_fd_permission, ptrace_may_access), task_mmu.c (task_mem).
// Invariant: descriptors are shown to root, to who may trace, and to processes of the same user that have no fewer
// capabilities. undefined: the path is none of these files, and may be one that somebody else put there.

import { EACCES, ENOENT } from "../errno.ts";
import type { ModelProcess, OpenFile } from "./file.ts";

const PROCESS = /^\/proc\/(self|[1-9]\d*)(?:\/(.*?))?\/*$/;
const DESCRIPTOR = /^fd\/(\d+)$/;
const NAMES = ["comm", "fd", "status"];

interface Place {
  readonly target: ModelProcess;
  /** Below the process's directory: "", "comm", "fd/3". */
  readonly rest: string;
}

export function readFile(viewer: ModelProcess, path: string): Uint8Array | undefined {
  const place = placeOf(viewer, path);
  if (place?.rest === "comm") return bytes(`${place.target.comm}\n`);
  return place?.rest === "status" ? bytes(statusOf(place.target)) : undefined;
}

/** Names that processes add to a directory, or -errno. */
export function readdir(viewer: ModelProcess, path: string): string[] | number | undefined {
  if (/^\/proc\/*$/.test(path)) return ["self", ...viewer.kernel.processes.pids().map(String)];
  const place = placeOf(viewer, path);
  if (place?.rest === "") return [...NAMES];
  if (place?.rest !== "fd") return undefined;
  return mayLookInto(viewer, place.target) ? place.target.fds.list().map(String) : -EACCES;
}

export function readlink(viewer: ModelProcess, path: string): string | number | undefined {
  if (/^\/proc\/self\/*$/.test(path)) return String(viewer.pid);
  const place = placeOf(viewer, path);
  const fd = DESCRIPTOR.exec(place?.rest ?? "")?.[1];
  if (place === undefined || fd === undefined) return undefined;
  if (!mayLookInto(viewer, place.target)) return -EACCES;
  const file = place.target.fileOf(Number(fd));
  return file ? linkTo(file) : -ENOENT;
}

export function exists(viewer: ModelProcess, path: string): boolean {
  const place = placeOf(viewer, path);
  if (place === undefined) return /^\/proc\/*$/.test(path);
  return place.rest === "" || NAMES.includes(place.rest) || typeof readlink(viewer, path) === "string";
}

function placeOf(viewer: ModelProcess, path: string): Place | undefined {
  const [, pid, rest = ""] = PROCESS.exec(path) ?? [];
  if (pid === undefined) return undefined;
  const target = pid === "self" ? viewer : viewer.kernel.processes.get(Number(pid));
  return target && { target, rest };
}

function mayLookInto(viewer: ModelProcess, target: ModelProcess): boolean {
  if (viewer === target || viewer.root || viewer.has("SYS_PTRACE")) return true;
  return viewer.uid === target.uid && [...target.capabilities].every((capability) => viewer.has(capability));
}

/** Files without a place have the names that their drivers give to anon_inode_getfile: KVM's stand without brackets. */
function linkTo({ path, ops: { kind } }: OpenFile): string {
  return path ?? `anon_inode:${kind.startsWith("kvm-") ? kind : `[${kind}]`}`;
}

function statusOf({ comm, pid, uid, gid, mm }: ModelProcess): string {
  const ids = (id: number) => Array(4).fill(id).join("\t");
  const size = (pages: number) => `${String((pages * mm.pageSize) / 1024).padStart(8)} kB`;
  return [
    `Name:\t${comm}`,
    `Pid:\t${pid}`,
    `Uid:\t${ids(uid)}`,
    `Gid:\t${ids(gid)}`,
    `VmLck:\t${size(mm.lockedPages)}`,
    `VmPin:\t${size(mm.pinnedPages)}`,
    "",
  ].join("\n");
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
