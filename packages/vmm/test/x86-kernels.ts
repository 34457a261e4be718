// Kernel files made for tests: the parts of a bzImage or an x86 ELF file that a loader looks at.

export interface BzImageShape {
  protocol?: number;
  loadflags?: number;
  xloadflags?: number;
  setupSectors?: number;
  preferred?: number;
  initSize?: number;
  initrdMax?: number;
  commandLineMax?: number;
  version?: string;
}

/** A bzImage of boot protocol 2.15 whose protected-mode part is `code`, filled up with zeros to sixteen bytes. */
export function bzImage(code: Uint8Array, shape: BzImageShape = {}): Uint8Array {
  const setupSectors = shape.setupSectors ?? 3;
  const payloadAt = ((setupSectors || 4) + 1) * 512;
  const units = Math.ceil(code.length / 16);
  const file = new Uint8Array(payloadAt + units * 16);
  const view = new DataView(file.buffer);
  file[0x1f1] = setupSectors;
  view.setUint32(0x1f4, units, true);
  view.setUint16(0x1fe, 0xaa55, true);
  file.set([0xeb, 0x66], 0x200);
  file.set(new TextEncoder().encode("HdrS"), 0x202);
  view.setUint16(0x206, shape.protocol ?? 0x20f, true);
  file[0x211] = shape.loadflags ?? 1;
  view.setUint32(0x214, 0x10_0000, true);
  view.setUint32(0x22c, shape.initrdMax ?? 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint16(0x236, shape.xloadflags ?? 0x7f, true);
  view.setUint32(0x238, shape.commandLineMax ?? 2047, true);
  view.setBigUint64(0x258, BigInt(shape.preferred ?? 0x100_0000), true);
  view.setUint32(0x260, shape.initSize ?? 0x10_0000, true);
  if (shape.version !== undefined) {
    view.setUint16(0x20e, 0x300 - 0x200, true);
    file.set(new TextEncoder().encode(`${shape.version}\0`), 0x300);
  }
  file.set(code, payloadAt);
  return file;
}

export interface X86ElfShape {
  machine?: number;
  elfClass?: number;
  address?: number;
  entry?: number;
  memorySize?: number;
}

/** A 64-bit x86 ELF file with one segment. */
export function x86Elf(code: Uint8Array, shape: X86ElfShape = {}): Uint8Array {
  const address = shape.address ?? 0x10_0000;
  const file = new Uint8Array(120 + code.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x7f454c46);
  file[4] = shape.elfClass ?? 2;
  file[5] = 1;
  view.setUint16(18, shape.machine ?? 62, true);
  view.setBigUint64(24, BigInt(shape.entry ?? address), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setBigUint64(72, 120n, true);
  view.setBigUint64(80, BigInt(address), true);
  view.setBigUint64(88, BigInt(address), true);
  view.setBigUint64(96, BigInt(code.length), true);
  view.setBigUint64(104, BigInt(shape.memorySize ?? code.length), true);
  file.set(code, 120);
  return file;
}
