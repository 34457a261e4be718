// A 64-bit program for machine pc in an ELF file, which is entered as a kernel is: what it needs to talk and to end.
import { Assembler, al, ax, dx } from "@minivmm/x86asm";

const LOAD_ADDRESS = 0x10_0000;
const EHDR = 64;
const PHDR = 56;
const EM_X86_64 = 62;
const COM1 = 0x3f8;
const PM1_CONTROL = 0x604;
const S5_NOW = (5 << 10) | (1 << 13);
const RESET_PORT = 0xcf9;

export class PcProgram extends Assembler {
  constructor() {
    super({ bits: 64, origin: LOAD_ADDRESS });
  }

  print(text: string): void {
    this.mov(dx, COM1);
    for (const byte of new TextEncoder().encode(text)) {
      this.mov(al, byte);
      this.out(dx, al);
    }
  }

  /** ACPI's. */
  powerOff(): void {
    this.mov(dx, PM1_CONTROL);
    this.mov(ax, S5_NOW);
    this.out(dx, ax);
    this.spin();
  }

  /** The chipset's, of the whole machine. */
  reset(): void {
    this.mov(dx, RESET_PORT);
    this.mov(al, 2);
    this.out(dx, al);
    this.mov(al, 6);
    this.out(dx, al);
    this.spin();
  }

  spin(): void {
    const here = `spin ${this.here}`;
    this.label(here);
    this.jmp(here);
  }

  /** One segment, loaded at LOAD_ADDRESS and entered at its beginning. */
  elf(): Uint8Array {
    const code = this.bytes();
    const file = new Uint8Array(EHDR + PHDR + code.length);
    const view = new DataView(file.buffer);
    const [address, size] = [BigInt(LOAD_ADDRESS), BigInt(code.length)];
    file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    for (const [at, value] of [
      [16, 2],
      [18, EM_X86_64],
      [52, EHDR],
      [54, PHDR],
      [56, 1],
    ] as const) {
      view.setUint16(at, value, true);
    }
    for (const [at, value] of [
      [20, 1],
      [EHDR, 1],
      [EHDR + 4, 7],
    ] as const)
      view.setUint32(at, value, true);
    const quads = [
      [24, address],
      [32, BigInt(EHDR)],
    ] as const;
    const segment = [BigInt(EHDR + PHDR), address, address, size, size, 4096n];
    for (const [at, value] of quads) view.setBigUint64(at, value, true);
    for (const [index, value] of segment.entries()) view.setBigUint64(EHDR + 8 + index * 8, value, true);
    file.set(code, EHDR + PHDR);
    return file;
  }
}
