// A 64-bit program for machine pc, as an ELF file that is entered as a kernel is: what it needs to talk, and to end.
// Source: machines/pc/memory-map.ts for the ports; ACPI 6.5, 4.8.3.2.1 for the end.
import { Assembler, al, ax, dx, elfImage } from "@minivmm/x86asm";
import { PORT_COM1, PORT_PM, PORT_RESET, SLP_TYP_S5 } from "../machines/pc/memory-map.ts";

/** Where it is loaded and entered. */
export const PC_PROGRAM_ADDRESS = 0x10_0000;
/** Behind the code, zero at the start. */
const SPARE_BYTES = 0x1_0000;
const PM1_CONTROL = PORT_PM + 4;
const SLP_EN = 1 << 13;

export class PcProgram extends Assembler {
  constructor() {
    super({ bits: 64, origin: PC_PROGRAM_ADDRESS });
  }

  /** Writes al to the serial port. Changes dx. */
  putc(): void {
    this.mov(dx, PORT_COM1);
    this.out(dx, al);
  }

  /** Changes al and dx. */
  print(text: string): void {
    this.mov(dx, PORT_COM1);
    for (const byte of new TextEncoder().encode(text)) {
      this.mov(al, byte);
      this.out(dx, al);
    }
  }

  /** ACPI's sleep state S5. */
  powerOff(): void {
    this.mov(dx, PM1_CONTROL);
    this.mov(ax, (SLP_TYP_S5 << 10) | SLP_EN);
    this.out(dx, ax);
    this.spin();
  }

  /** The chipset's, of the whole machine. */
  reset(): void {
    this.mov(dx, PORT_RESET);
    this.mov(al, 2);
    this.out(dx, al);
    this.mov(al, 6);
    this.out(dx, al);
    this.spin();
  }

  /** Forever, with interrupts as they are. */
  spin(): void {
    const here = `spin ${this.here}`;
    this.label(here);
    this.jmp(here);
  }

  elf(): Uint8Array {
    const bytes = this.bytes();
    return elfImage({ address: PC_PROGRAM_ADDRESS, bytes, memorySize: bytes.length + SPARE_BYTES });
  }
}
