// Minimal static ELF executables for ppc64le (ELFv2): a header, one PT_LOAD per segment, no sections.
// Source: System V ABI, chapter 4 and 5; 64-bit ELFv2 ABI for POWER (e_flags = 2).
// Invariant: file offset and address of a segment agree modulo the page size, as the loader's mmap asks.

import { Ppc64Error } from "../error.ts";

export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

const ELF_HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const EM_PPC64 = 21;
const ET_EXEC = 2;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
/** Largest page size of the architecture's kernels. */
const PAGE = 0x10000;

export interface ElfSegment {
  /** Virtual address of the first byte. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Bytes in memory; what exceeds `bytes` is zeroed by the loader. Default: bytes.length. */
  readonly memorySize?: number;
  /** PF_R | PF_W | PF_X */
  readonly flags: number;
}

export interface ElfOptions {
  /** Address of the first instruction. */
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

/** Lays out the segments and writes headers. @throws Ppc64Error ELF_OVERLAP when two segments share a 64 KiB page. */
export function buildElf({ entry, segments }: ElfOptions): Uint8Array {
  checkPages(segments);
  const headers = ELF_HEADER_SIZE + PROGRAM_HEADER_SIZE * (segments.length + 1);
  let end = headers;
  const offsets = segments.map(({ address, bytes }) => {
    const offset = end + ((((address - end) % PAGE) + PAGE) % PAGE);
    end = offset + bytes.length;
    return offset;
  });
  const out = new Uint8Array(end);
  const view = new DataView(out.buffer);
  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0); // magic, ELFCLASS64, little endian, EV_CURRENT
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, EM_PPC64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, BigInt(ELF_HEADER_SIZE), true);
  view.setUint32(48, 2, true);
  view.setUint16(52, ELF_HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, segments.length + 1, true);
  segments.forEach((s, i) => {
    const size = Math.max(s.memorySize ?? 0, s.bytes.length);
    programHeader(view, i, PT_LOAD, s.flags, offsets[i]!, s.address, s.bytes.length, size);
    out.set(s.bytes, offsets[i]!);
  });
  programHeader(view, segments.length, PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0);
  return out;
}

function programHeader(
  view: DataView,
  index: number,
  type: number,
  flags: number,
  offset: number,
  address: number,
  fileSize: number,
  memorySize: number,
): void {
  const at = ELF_HEADER_SIZE + index * PROGRAM_HEADER_SIZE;
  view.setUint32(at, type, true);
  view.setUint32(at + 4, flags, true);
  view.setBigUint64(at + 8, BigInt(offset), true);
  view.setBigUint64(at + 16, BigInt(address), true);
  view.setBigUint64(at + 24, BigInt(address), true);
  view.setBigUint64(at + 32, BigInt(fileSize), true);
  view.setBigUint64(at + 40, BigInt(memorySize), true);
  view.setBigUint64(at + 48, BigInt(type === PT_LOAD ? PAGE : 16), true);
}

function checkPages(segments: readonly ElfSegment[]): void {
  const pages = segments
    .map((s) => ({
      first: Math.floor(s.address / PAGE),
      last: Math.floor((s.address + Math.max(s.memorySize ?? 0, s.bytes.length, 1) - 1) / PAGE),
    }))
    .sort((a, b) => a.first - b.first);
  for (let i = 1; i < pages.length; i++) {
    if (pages[i]!.first <= pages[i - 1]!.last) {
      throw new Ppc64Error(`two ELF segments share the 64 KiB page at 0x${(pages[i]!.first * PAGE).toString(16)}`, {
        code: "ELF_OVERLAP",
        hint: "start each segment on a 64 KiB page of its own",
      });
    }
  }
}
