// Reads an initial RAM file system and refuses what a guest would only fail on much later: a file that is no cpio
// archive, or one that was cut short. Compressed archives are handed on as they are (the guest's kernel unpacks them);
// gzip is unpacked here once, to see that it is whole, while a machine may be made that will want it.
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { readCpio } from "@minivmm/vmm/boot/cpio";
import { CliError, reasonOf } from "../errors.ts";

const startsWith = (bytes: Uint8Array, ...magic: number[]): boolean => magic.every((byte, i) => bytes[i] === byte);

/** Other compressors that Linux knows: xz, zstd, lz4 (legacy), bzip2, lzma, lzo. */
const COMPRESSED = [
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  [0x28, 0xb5, 0x2f, 0xfd],
  [0x02, 0x21, 0x4c, 0x18],
  [0x42, 0x5a, 0x68],
  [0x5d, 0x00, 0x00],
  [0x89, 0x4c, 0x5a, 0x4f],
];

/** The file's bytes. Rejects with CliError USAGE_INITRD. */
export async function readInitrd(path: string): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new CliError(`cannot read the initrd: ${path}: ${reasonOf(cause)}`, {
      code: "USAGE_INITRD",
      hint: "give the path of a cpio archive, or leave -initrd out",
      cause,
    });
  }
  try {
    await checkInitrd(bytes);
  } catch (cause) {
    throw new CliError(`the initrd cannot be used: ${path}: ${reasonOf(cause)}`, {
      code: "USAGE_INITRD",
      details: { path, bytes: bytes.length },
      hint: "make it with: find . | cpio -o -H newc | gzip",
      cause,
    });
  }
  return bytes;
}

/** Rejects with an Error that says why the bytes are no whole initial RAM file system. */
export async function checkInitrd(bytes: Uint8Array): Promise<void> {
  if (startsWith(bytes, 0x1f, 0x8b)) readCpio(await promisify(gunzip)(bytes));
  else if (startsWith(bytes, 0x30, 0x37, 0x30)) readCpio(bytes);
  else if (!COMPRESSED.some((magic) => startsWith(bytes, ...magic))) throw new Error("it is no cpio archive");
}
