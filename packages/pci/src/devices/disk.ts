// What a storage controller stores on: bytes addressed by number, in host memory or in a file.
// Results are 0 or a negative errno, because a disk error must reach the guest as a status and never as an exception.
// Invariant: size is a multiple of 512; accesses the controller makes are inside it.
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { EIO, EROFS } from "@minivmm/host";
import { PciError } from "../error.ts";

export interface Disk {
  /** Bytes. */
  readonly size: number;
  readonly readonly: boolean;
  /** Fill `into` from `offset`. 0 or -errno. */
  read(offset: number, into: Uint8Array): number;
  write(offset: number, from: Uint8Array): number;
  /** Make what was written durable. */
  flush(): number;
  /** The contents where they lie in host memory: `size` bytes that may be read, not written, instead of calling read(). */
  readonly memory?: Uint8Array;
  /** The range need not keep its contents. Optional: a disk without it keeps them. */
  discard?(offset: number, length: number): number;
  close(): void;
}

const SECTOR = 512;

/** A disk in host memory: `size` zero bytes, or the given bytes (used in place). @throws PciError DISK */
export function memoryDisk(source: number | Uint8Array): Disk {
  const bytes = typeof source === "number" ? new Uint8Array(checkSize(source, "memory")) : source;
  const size = checkSize(bytes.length, "memory");
  const disk: Disk = {
    size,
    readonly: false,
    read(offset, into) {
      into.set(bytes.subarray(offset, offset + into.length));
      return 0;
    },
    write(offset, from) {
      bytes.set(from, offset);
      return 0;
    },
    flush: () => 0,
    discard(offset, length) {
      bytes.fill(0, offset, offset + length);
      return 0;
    },
    close: () => undefined,
  };
  // Not copied with `{ ...disk, read }`: whoever puts a read of its own in front is not passed over.
  return Object.defineProperty(disk, "memory", { value: bytes });
}

/** A disk of `size` bytes that keeps nothing: it reads as zeroes. @throws PciError DISK */
export function nullDisk(size: number): Disk {
  return {
    size: checkSize(size, "null"),
    readonly: false,
    read(_offset, into) {
      into.fill(0);
      return 0;
    },
    write: () => 0,
    flush: () => 0,
    discard: () => 0,
    close: () => undefined,
  };
}

/** A disk image file, read and written synchronously. @throws PciError DISK when it cannot be opened or has a bad size */
export function fileDisk(path: string, options: { readonly?: boolean } = {}): Disk {
  const readonly = options.readonly ?? false;
  let fd = openImage(path, readonly);
  let size: number;
  try {
    size = checkSize(fstatSync(fd).size, path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    size,
    readonly,
    read: (offset, into) =>
      attempt(() => whole(into, (done) => readSync(fd, into, done, into.length - done, offset + done))),
    write(offset, from) {
      if (readonly) return -EROFS;
      return attempt(() => whole(from, (done) => writeSync(fd, from, done, from.length - done, offset + done)));
    },
    flush() {
      if (readonly) return 0;
      return attempt(() => {
        fsyncSync(fd);
        return 0;
      });
    },
    close() {
      if (fd >= 0) closeSync(fd);
      fd = -1;
    },
  };
}

function openImage(path: string, readonly: boolean): number {
  try {
    return openSync(path, readonly ? "r" : "r+");
  } catch (cause) {
    const { errno, message } = cause as NodeJS.ErrnoException;
    throw new PciError(`cannot open the disk image ${path}: ${message}`, {
      code: "DISK",
      errno: errno === undefined ? undefined : Math.abs(errno),
      details: { path, readonly },
      hint: readonly ? "check that the file exists and is readable" : "check the file, or open it read-only",
      cause,
    });
  }
}

/** Repeat a short transfer until the buffer is done; nothing more to read is an I/O error. */
function whole(buffer: Uint8Array, transfer: (done: number) => number): number {
  for (let done = 0; done < buffer.length; ) {
    const moved = transfer(done);
    if (moved <= 0) return -EIO;
    done += moved;
  }
  return 0;
}

function attempt(io: () => number): number {
  try {
    return io();
  } catch (error) {
    return -Math.abs((error as NodeJS.ErrnoException).errno ?? EIO);
  }
}

function checkSize(size: number, name: string): number {
  if (Number.isSafeInteger(size) && size > 0 && size % SECTOR === 0) return size;
  throw new PciError(`the disk "${name}" has ${size} bytes`, {
    code: "DISK",
    details: { name, size },
    hint: "a disk has one or more sectors of 512 bytes; pad the image, for example with truncate -s",
  });
}
