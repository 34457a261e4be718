// Whole-file access for the real host, through node:fs. libuv's error numbers on Linux are -errno already.

import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeSync,
} from "node:fs";
import { EIO } from "../errno.ts";
import type { FileStat } from "../host.ts";

function attempt<T>(call: () => T): T | number {
  try {
    return call();
  } catch (error) {
    const { errno } = error as { errno?: unknown };
    if (error instanceof Error && "syscall" in error) return typeof errno === "number" && errno < 0 ? errno : -EIO;
    throw error;
  }
}

export function readFile(path: string): Uint8Array | number {
  return attempt(() => readFileSync(path));
}

/** One write(2) to an existing file, as an attribute expects; nothing is created or truncated. */
export function writeFile(path: string, data: Uint8Array | string): number {
  return attempt(() => {
    const fd = openSync(path, constants.O_WRONLY);
    try {
      return writeSync(fd, typeof data === "string" ? Buffer.from(data) : data);
    } finally {
      closeSync(fd);
    }
  });
}

export function readdir(path: string): string[] | number {
  return attempt(() => readdirSync(path).sort());
}

export function readlink(path: string): string | number {
  return attempt(() => readlinkSync(path));
}

export function exists(path: string): boolean {
  return existsSync(path);
}

export function stat(path: string): FileStat | number {
  return attempt(() => {
    const { mode, uid, gid } = statSync(path);
    return { mode: mode & 0o7777, uid, gid };
  });
}
