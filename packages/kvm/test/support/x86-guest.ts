// A small x86 machine on this machine's /dev/kvm for guest programs made with the assembler: RAM from 0, one vCPU, in real
// mode or in long mode. Where things are: program at PROGRAM, stack below STACK, tables of long mode from 0x10000 on.
// A program ends by writing its status to port DONE, since with interrupt controllers in the kernel HLT does not exit.
import { type Host, MAP_ANONYMOUS, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE, realHost } from "@minivmm/host";
import { type Assembler, al, byte, ecx } from "@minivmm/x86asm";
import { KVM_EXIT_IO, KVM_EXIT_MMIO, KvmSystem, type KvmVcpu, type KvmVm } from "../../src/index.ts";
import { enterLongMode } from "./long-mode.ts";

export const PROGRAM = 0x1000;
export const STACK = 0x8000;
/** Real mode: RAM ends here, so that the same segment reaches what is not RAM. */
export const REAL_MODE_RAM = 0x8000;
const LONG_MODE_RAM = 0x20000;

/** The port that ends a program, and its statuses. */
export const DONE = 0xf4;
export const OK = 1;
export const TIMED_OUT = 0xee;
/** The port by which a program says that it is ready for something to happen. */
export const READY = 0x80;

const SPINS = 400_000;

export interface GuestOptions {
  readonly mode: 16 | 64;
  /** Interrupt controllers in the kernel. Default false. */
  readonly irqchip?: boolean;
  /** Called before the vCPU is made. */
  readonly prepare?: (vm: KvmVm) => void;
}

/** What the machine does when the guest leaves; each gets the vCPU, whose exit accessors are valid. */
export interface Devices {
  port?(vcpu: KvmVcpu): void;
  memory?(vcpu: KvmVcpu): void;
  /** Writes to port READY, counted from 1. */
  ready?(round: number): void;
}

export class X86Guest {
  readonly host: Host;
  readonly system: KvmSystem;
  readonly vm: KvmVm;
  readonly vcpu: KvmVcpu;
  readonly ram: Uint8Array;
  readonly #mapping: Mapping;
  readonly #program: Assembler;
  readonly #fds: number[] = [];

  constructor(program: Assembler, { mode, irqchip = false, prepare }: GuestOptions) {
    const host = realHost();
    this.host = host;
    this.#program = program;
    this.system = KvmSystem.open(host);
    const length = mode === 16 ? REAL_MODE_RAM : LONG_MODE_RAM;
    this.#mapping = host.mmap({
      length,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_SHARED | MAP_ANONYMOUS,
    }) as Mapping;
    this.ram = this.#mapping.bytes as Uint8Array;
    this.ram.set(program.bytes(), PROGRAM);
    this.vm = this.system.createVm();
    if (irqchip) this.vm.createIrqchip();
    this.vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: this.ram });
    prepare?.(this.vm);
    this.vcpu = this.vm.createVcpu(0);
    this.vcpu.setCpuid(this.system.supportedCpuid());
    if (mode === 16) enterRealMode(this.vcpu);
    else enterLongMode(this.vcpu, this.ram);
    this.vcpu.setRegs({ rip: BigInt(PROGRAM), rsp: BigInt(STACK), rflags: 2n });
  }

  /** A new eventfd that goes with the guest. */
  eventfd(): number {
    const fd = this.host.eventfd(0, 0o4000);
    this.#fds.push(fd);
    return fd;
  }

  signal(fd: number): void {
    this.host.write(fd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
  }

  /** How often an eventfd was signalled since it was last asked. */
  signals(fd: number): number {
    const counter = new Uint8Array(8);
    return this.host.read(fd, counter) === 8 ? (counter[0] as number) : 0;
  }

  /** The byte at a label of the program. */
  byteAt(label: string, offset = 0): number {
    return this.ram[this.#program.addressOf(label) + offset] as number;
  }

  /** Runs to the program's end and returns its status. Throws for an exit that `devices` has no answer to. */
  run(devices: Devices = {}): number {
    const { vcpu } = this;
    for (let rounds = 0; ; ) {
      const reason = vcpu.run();
      if (reason === KVM_EXIT_IO && vcpu.ioPort === DONE) return vcpu.bytes[vcpu.ioDataOffset] as number;
      if (reason === KVM_EXIT_IO && vcpu.ioPort === READY && devices.ready) devices.ready(++rounds);
      else if (reason === KVM_EXIT_IO && devices.port) devices.port(vcpu);
      else if (reason === KVM_EXIT_MMIO && devices.memory) devices.memory(vcpu);
      else throw new Error(`the guest left for reason ${reason} at 0x${vcpu.getRegs().rip.toString(16)}`);
    }
  }

  close(): void {
    this.vcpu.close();
    this.vm.close();
    this.system.close();
    this.#mapping.close();
    for (const fd of this.#fds) this.host.close(fd);
  }
}

/** After reset a vCPU is in real mode, at the top of memory. */
function enterRealMode(vcpu: KvmVcpu): void {
  const sregs = vcpu.getSregs();
  vcpu.setSregs({ ...sregs, cs: { ...sregs.cs, base: 0n, selector: 0 } });
}

/** Ends the program. */
export function done(a: Assembler, status = OK): void {
  a.mov(al, status);
  a.out(DONE, al);
}

/** Waits, but not forever, until the byte at a label has this value. */
export function waitForByte(a: Assembler, label: string, value: number): void {
  const [again, over] = [`again ${a.here}`, `over ${a.here}`];
  a.mov(ecx, SPINS);
  a.label(again);
  a.cmp(byte(label), value);
  a.je(over);
  a.pause();
  a.dec(ecx);
  a.jne(again);
  done(a, TIMED_OUT);
  a.label(over);
}
