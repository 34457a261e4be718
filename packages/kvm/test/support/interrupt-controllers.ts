// What a guest program does to the PC's interrupt controllers, as pieces of assembly.
// Sources: data sheets of the 8259A and of the 82093AA (I/O APIC); Intel SDM volume 3, chapter 10 (local APIC).
import { type Assembler, al, byte, dword, rbx } from "@minivmm/x86asm";

const PIC1 = 0x20;
const PIC2 = 0xa0;
const LAPIC = 0xfee0_0000;
const LAPIC_EOI = 0xb0;
const LAPIC_SPURIOUS = 0xf0;
const LAPIC_ENABLED = 0x100;
const LAPIC_COMMAND = 0x300;
/** Interrupt commands: to all CPUs but the sender, asserted; INIT, and SIPI with the page to start at. */
const INIT_OTHERS = 0x000c_4500;
const START_OTHERS = 0x000c_4600;
const IOAPIC = 0xfec0_0000;
const IOAPIC_DATA = 0x10;
const IOAPIC_REDIRECTIONS = 0x10;
export const LEVEL_TRIGGERED = 1 << 15;

function out(a: Assembler, port: number, value: number): void {
  a.mov(al, value);
  a.out(port, al);
}

/** Both PICs from `vector` on (the second one 8 further), with only the lines of `open` (a bit each) let through. */
export function setUpPics(a: Assembler, vector: number, open: number): void {
  for (const [port, base, wiring] of [
    [PIC1, vector, 4],
    [PIC2, vector + 8, 2],
  ] as const) {
    out(a, port, 0x11);
    out(a, port + 1, base);
    out(a, port + 1, wiring);
    out(a, port + 1, 1);
    out(a, port + 1, ~(port === PIC1 ? open : open >> 8) & 0xff);
  }
}

/** The first PIC's end of interrupt. Uses al. */
export function endOfPicInterrupt(a: Assembler): void {
  out(a, PIC1, 0x20);
}

/** Without it the PICs would interrupt beside the I/O APIC. */
export function maskPics(a: Assembler): void {
  out(a, PIC1 + 1, 0xff);
  out(a, PIC2 + 1, 0xff);
}

export function enableLapic(a: Assembler): void {
  a.mov(rbx, LAPIC + LAPIC_SPURIOUS);
  a.mov(dword(rbx), LAPIC_ENABLED | 0xff);
}

/** Leads a pin of the I/O APIC to a vector of CPU 0. */
export function routePin(a: Assembler, pin: number, vector: number, flags = 0): void {
  a.mov(rbx, IOAPIC);
  for (const [register, value] of [
    [IOAPIC_REDIRECTIONS + 2 * pin + 1, 0],
    [IOAPIC_REDIRECTIONS + 2 * pin, vector | flags],
  ] as const) {
    a.mov(dword(rbx), register);
    a.mov(dword(rbx, IOAPIC_DATA), value);
  }
}

/** A handler of 64-bit mode that counts in the byte at `counter` and ends the interrupt at the local APIC. */
export function countingHandler(a: Assembler, name: string, counter: string): void {
  a.label(name);
  a.push(rbx);
  a.inc(byte(counter));
  a.mov(rbx, LAPIC + LAPIC_EOI);
  a.mov(dword(rbx), 0);
  a.pop(rbx);
  a.iretq();
}

/** Starts all other CPUs in real mode at `address`, the start of a page below 1 MiB. */
export function startOtherCpus(a: Assembler, address: number): void {
  a.mov(rbx, LAPIC + LAPIC_COMMAND);
  a.mov(dword(rbx), INIT_OTHERS);
  a.mov(dword(rbx), START_OTHERS | (address >> 12));
}
