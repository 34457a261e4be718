// Initial RAM file systems in cpio's "newc" format, which Linux unpacks: each member is a 110-byte header of hexadecimal
// numbers, a name and the data, both padded to four bytes; a member named TRAILER!!! ends the archive.
// Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst. The reader exists to refuse a truncated
// archive before a guest hangs on it; it also serves tests and users that want to look inside.
import { VmmError } from "../errors.ts";

export interface CpioEntry {
  /** Path without a leading slash. */
  readonly name: string;
  /** File type and permissions, as st_mode: 0o100755 a program, 0o40755 a directory, 0o20600 a character device. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Device numbers of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970. Default 0, so that archives are the same bytes each time. */
  readonly mtime?: number;
}

export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

const MAGIC = "070701";
const HEADER_SIZE = 110;
const TRAILER = "TRAILER!!!";
const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");

const pad4 = (length: number): number => (4 - (length % 4)) % 4;

/** A program that can be run. */
export function cpioFile(name: string, data: Uint8Array, mode = 0o755): CpioEntry {
  return { name, mode: S_IFREG | mode, data };
}

export function cpioDirectory(name: string, mode = 0o755): CpioEntry {
  return { name, mode: S_IFDIR | mode };
}

/** A character device, for example /dev/console (5, 1). */
export function cpioCharDevice(name: string, major: number, minor: number, mode = 0o600): CpioEntry {
  return { name, mode: S_IFCHR | mode, device: { major, minor } };
}

/** The archive's bytes; its length is a multiple of 512 as cpio makes it. Throws VmmError CPIO_MALFORMED for a bad name. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  const add = (bytes: Uint8Array): void => {
    parts.push(bytes, new Uint8Array(pad4(bytes.length)));
    length += bytes.length + pad4(bytes.length);
  };
  [...entries, { name: TRAILER, mode: 0 }].forEach((entry: CpioEntry, index) => {
    if (entry.name === "" || entry.name.includes("\0")) {
      throw new VmmError(`cpio: member ${index} has an empty name or one with a NUL inside`, {
        code: "CPIO_MALFORMED",
      });
    }
    const data = entry.data ?? new Uint8Array(0);
    const name = encoder.encode(`${entry.name}\0`);
    const inode = entry.name === TRAILER ? 0 : index + 1;
    const links = (entry.mode & 0o170000) === S_IFDIR ? 2 : 1;
    const device = entry.device ?? { major: 0, minor: 0 };
    const numbers = [inode, entry.mode, entry.uid ?? 0, entry.gid ?? 0, links, entry.mtime ?? 0, data.length];
    numbers.push(0, 0, device.major, device.minor, name.length, 0);
    const header = encoder.encode(MAGIC + numbers.map((n) => n.toString(16).padStart(8, "0")).join(""));
    const head = new Uint8Array(header.length + name.length);
    head.set(header);
    head.set(name, header.length);
    add(head);
    add(data);
  });
  const out = new Uint8Array(Math.ceil(length / 512) * 512);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Reads an archive up to its trailer. Throws VmmError CPIO_MALFORMED or CPIO_TRUNCATED. */
export function readCpio(archive: Uint8Array): CpioEntry[] {
  const entries: CpioEntry[] = [];
  let at = 0;
  for (;;) {
    if (at + HEADER_SIZE > archive.length) throw truncated(at, archive.length);
    if (decoder.decode(archive.subarray(at, at + 6)) !== MAGIC) {
      throw new VmmError(`cpio: no newc header at byte ${at}`, {
        code: "CPIO_MALFORMED",
        details: { at },
        hint: "make it with cpio -H newc; a compressed archive must be unpacked to be read here",
      });
    }
    const number = (index: number): number => {
      const from = at + 6 + index * 8;
      const text = decoder.decode(archive.subarray(from, from + 8));
      if (!/^[0-9a-fA-F]{8}$/.test(text)) {
        throw new VmmError(`cpio: "${text}" at byte ${from} is not a hexadecimal number`, { code: "CPIO_MALFORMED" });
      }
      return Number.parseInt(text, 16);
    };
    const fileSize = number(6);
    const nameSize = number(11);
    const nameAt = at + HEADER_SIZE;
    const dataAt = nameAt + nameSize + pad4(HEADER_SIZE + nameSize);
    if (nameSize === 0 || dataAt + fileSize > archive.length) throw truncated(at, archive.length);
    const name = decoder.decode(archive.subarray(nameAt, nameAt + nameSize - 1));
    if (name === TRAILER) return entries;
    const data = archive.slice(dataAt, dataAt + fileSize);
    const device = { major: number(9), minor: number(10) };
    entries.push({ name, mode: number(1), uid: number(2), gid: number(3), mtime: number(5), device, data });
    at = dataAt + fileSize + pad4(fileSize);
  }
}

function truncated(at: number, length: number): VmmError {
  return new VmmError(`cpio: the archive ends at byte ${length}, in the middle of the member at ${at}`, {
    code: "CPIO_TRUNCATED",
    details: { at, length },
    hint: "the file was cut short; make or copy it again",
  });
}
