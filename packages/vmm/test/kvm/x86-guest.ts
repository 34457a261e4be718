// Guest programs for machine pc: 64-bit code that is entered as a kernel is, in an ELF file; and a VM around it whose
// output is kept.
import { Assembler, al, ax, dx } from "@minivmm/x86asm";
import { createPcVm } from "../../src/pc-vm.ts";
import type { PcSummary, TimelineStart } from "../../src/summary.ts";
import type { Vm, VmExit } from "../../src/vm.ts";

export const LOAD_ADDRESS = 0x10_0000;
const HEADER_BYTES = 64 + 56;
const COM1 = 0x3f8;
const PM1_CONTROL = 0x604;
const S5_NOW = (5 << 10) | (1 << 13);

export class GuestProgram extends Assembler {
  constructor() {
    super({ bits: 64, origin: LOAD_ADDRESS });
  }

  /** Writes al to the serial port. */
  putc(): void {
    this.mov(dx, COM1);
    this.out(dx, al);
  }

  print(text: string): void {
    for (const byte of new TextEncoder().encode(text)) {
      this.mov(al, byte);
      this.putc();
    }
  }

  powerOff(): void {
    this.mov(dx, PM1_CONTROL);
    this.mov(ax, S5_NOW);
    this.out(dx, ax);
    this.spin();
  }

  /** Forever, with interrupts as they are. */
  spin(): void {
    const here = `spin ${this.here}`;
    this.label(here);
    this.jmp(here);
  }

  /** An ELF image that is loaded at LOAD_ADDRESS and entered at its beginning. */
  elf(): Uint8Array {
    const code = this.bytes();
    const file = new Uint8Array(HEADER_BYTES + code.length);
    const view = new DataView(file.buffer);
    file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    view.setUint16(16, 2, true);
    view.setUint16(18, 62, true);
    view.setUint32(20, 1, true);
    view.setBigUint64(24, BigInt(LOAD_ADDRESS), true);
    view.setBigUint64(32, 64n, true);
    view.setUint16(52, 64, true);
    view.setUint16(54, 56, true);
    view.setUint16(56, 1, true);
    view.setUint32(64, 1, true);
    view.setUint32(68, 7, true);
    view.setBigUint64(72, BigInt(HEADER_BYTES), true);
    view.setBigUint64(80, BigInt(LOAD_ADDRESS), true);
    view.setBigUint64(88, BigInt(LOAD_ADDRESS), true);
    view.setBigUint64(96, BigInt(code.length), true);
    view.setBigUint64(104, BigInt(code.length + 0x1_0000), true);
    view.setBigUint64(112, 4096n, true);
    file.set(code, HEADER_BYTES);
    return file;
  }
}

export interface GuestRun {
  readonly vm: Vm<PcSummary>;
  /** What it has written so far. */
  output(): string;
  /** Resolves once the output has `text` in it. */
  said(text: string): Promise<void>;
  type(text: string): void;
  exit(): Promise<VmExit>;
}

export interface GuestOptions {
  readonly cpus?: number;
  readonly memoryMiB?: number;
  /** What openPlatform of platforms.mjs gets. Default: the real host without devices. */
  readonly platform?: unknown;
  readonly since?: TimelineStart;
  readonly initrd?: Uint8Array | Promise<Uint8Array>;
}

export async function startGuest(program: GuestProgram, options: GuestOptions = {}): Promise<GuestRun> {
  let written = "";
  let deliver: (bytes: Uint8Array) => void = () => {};
  const waiting: { text: string; resolve: () => void }[] = [];
  const vm = await createPcVm({
    machine: "pc",
    memoryBytes: (options.memoryMiB ?? 32) * 2 ** 20,
    cpus: options.cpus ?? 1,
    kernel: { bytes: program.elf() },
    platform: { module: new URL("./platforms.mjs", import.meta.url).href, data: options.platform ?? {} },
    ...(options.since === undefined ? {} : { since: options.since }),
    ...(options.initrd === undefined ? {} : { initrd: options.initrd }),
    console: {
      write: (bytes) => {
        written += new TextDecoder("latin1").decode(bytes);
        for (const each of waiting) if (written.includes(each.text)) each.resolve();
      },
      onInput: (handler) => {
        deliver = handler;
      },
    },
  });
  return {
    vm,
    output: () => written,
    said: (text) =>
      written.includes(text) ? Promise.resolve() : new Promise((resolve) => waiting.push({ text, resolve })),
    type: (text) => deliver(new TextEncoder().encode(text)),
    exit: () => vm.run(),
  };
}
