// A minimal static ELF executable for x86-64: a header and one loadable segment, no sections. What loads kernels loads it.
// Source: System V ABI, chapters 4 and 5; the x86-64 supplement.

export interface ElfProgram {
  /** Address of the first byte, physical and virtual alike. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Address of the first instruction. Default: `address`. */
  readonly entry?: number;
  /** Bytes in memory; those beyond `bytes` are zero. Default: as many as `bytes` has. */
  readonly memorySize?: number;
}

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const ET_EXEC = 2;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PF_RWX = 7;
const PAGE = 4096;

/** The file's bytes. */
export function elfImage({ address, bytes, entry = address, memorySize = bytes.length }: ElfProgram): Uint8Array {
  const file = new Uint8Array(EHDR_SIZE + PHDR_SIZE + bytes.length);
  const view = new DataView(file.buffer);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  // Magic, 64 bits, little endian, version 1.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  u16(16, ET_EXEC);
  u16(18, EM_X86_64);
  u32(20, 1);
  u64(24, entry);
  u64(32, EHDR_SIZE);
  u16(52, EHDR_SIZE);
  u16(54, PHDR_SIZE);
  u16(56, 1);
  u32(EHDR_SIZE, PT_LOAD);
  u32(EHDR_SIZE + 4, PF_RWX);
  u64(EHDR_SIZE + 8, EHDR_SIZE + PHDR_SIZE);
  u64(EHDR_SIZE + 16, address);
  u64(EHDR_SIZE + 24, address);
  u64(EHDR_SIZE + 32, bytes.length);
  u64(EHDR_SIZE + 40, memorySize);
  u64(EHDR_SIZE + 48, PAGE);
  file.set(bytes, EHDR_SIZE + PHDR_SIZE);
  return file;
}
