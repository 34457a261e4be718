// What an exit costs in this program against a loop in C: the same guest on the same /dev/kvm, rounds of both in turn,
// medians of each pair's ratio. The guest writes to a port, or to memory that is not RAM, and nothing else.
// Run: npx tsx --conditions=source bench/kvm-exits/run.ts [exits per round] [rounds]
import { execFileSync } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EINTR, MAP_ANONYMOUS, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE, realHost } from "@minivmm/host";
import { KvmSystem } from "@minivmm/kvm";
import { Assembler, al, ax, ds, ebx, mem } from "@minivmm/x86asm";
import { runCpu } from "../../src/accel/x86/cpu-loop.ts";
import type { ExitTarget } from "../../src/accel/x86/exits.ts";
import { PortBus } from "../../src/machines/pc/ports.ts";

const RAM_BYTES = 0x10_0000;
const ENTRY = 0x1000;
const PORT_POST = 0x80;
const PORT_END = 0xf4;
const exits = Number(process.argv[2] ?? 20_000);
const rounds = Number(process.argv[3] ?? 15);

type Kind = "port" | "memory";

/** `ebx` times one access; `ds` reaches 0x100000 at offset 0x10. */
function guest(kind: Kind): Uint8Array {
  const a = new Assembler({ bits: 16, origin: ENTRY });
  a.mov(ax, 0xffff);
  a.mov(ds, ax);
  a.mov(ebx, exits);
  a.mov(al, 0x5a);
  a.label("again");
  if (kind === "port") a.out(PORT_POST, al);
  else a.mov(mem(0x10), al);
  a.dec(ebx);
  a.jne("again");
  a.out(PORT_END, al);
  return a.bytes();
}

/** The machine's own way from an exit to a device, with a device that only counts. */
class Target implements ExitTarget {
  sum = 0;
  readonly ports = new PortBus();
  constructor() {
    this.ports.claim(PORT_POST, 1, {
      read: () => 0xff,
      write: (_port, _width, value) => {
        this.sum += value;
      },
    });
  }
  readPort(port: number, width: 1 | 2 | 4): number {
    return this.ports.read(port, width);
  }
  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.ports.write(port, width, value);
  }
  readMemory(_address: number, _width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    out.fill(0);
  }
  writeMemory(address: number, _width: 1 | 2 | 4 | 8, lo: number): void {
    if (address >= RAM_BYTES) this.sum += lo & 0xff;
  }
}

const host = realHost();

/** Nanoseconds from the first KVM_RUN to the write that ends the guest. */
function javaScript(code: Uint8Array): number {
  using system = KvmSystem.open(host);
  const flags = MAP_SHARED | MAP_ANONYMOUS;
  using ram = host.mmap({ length: RAM_BYTES, prot: PROT_READ | PROT_WRITE, flags }) as Mapping;
  const memory = ram.bytes as Uint8Array;
  memory.set(code, ENTRY);
  using vm = system.createVm();
  vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory });
  using vcpu = vm.createVcpu(0);
  const sregs = vcpu.getSregs();
  vcpu.setSregs({ ...sregs, cs: { ...sregs.cs, base: 0n, selector: 0 } });
  vcpu.setRegs({ rip: BigInt(ENTRY), rflags: 2n });
  const target = new Target();
  const counts = { ports: 0, memory: 0, interrupted: 0 };
  // As the machine's thread is got out of the guest: KVM_RUN comes back at once when it is called the next time.
  target.ports.claim(PORT_END, 1, {
    read: () => 0xff,
    write: () => {
      vcpu.immediateExit = true;
    },
  });
  const start = process.hrtime.bigint();
  const reason = runCpu(vcpu, target, counts, false);
  const ns = Number(process.hrtime.bigint() - start);
  if (reason !== -EINTR || target.sum !== exits * 0x5a) throw new Error(`exit ${reason}, the device saw ${target.sum}`);
  return ns;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}

function measure(kind: Kind, binary: string, folder: string): void {
  const code = guest(kind);
  const file = join(folder, `${kind}.bin`);
  writeFileSync(file, code);
  const inC = (): number => Number(execFileSync(binary, [file], { encoding: "utf8" }));
  const times = { c: [] as number[], js: [] as number[] };
  // The first round of each warms caches and compilers up.
  inC();
  javaScript(code);
  for (let round = 0; round < rounds; round++) {
    times.c.push(inC() / exits);
    times.js.push(javaScript(code) / exits);
  }
  const ratio = median(times.js.map((js, i) => js / (times.c[i] as number)));
  const us = (ns: number): string => (ns / 1000).toFixed(2);
  console.log(
    `${kind.padEnd(6)}  C ${us(median(times.c))} us, JavaScript ${us(median(times.js))} us an exit: ${ratio.toFixed(3)} times`,
  );
}

function unavailable(): string | undefined {
  if (process.arch !== "x64") return `the guest is x86 code, and this machine is ${process.arch}`;
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const reason = unavailable();
if (reason !== undefined) {
  console.log(`exit benchmark skipped: ${reason}`);
} else {
  const folder = mkdtempSync(join(tmpdir(), "minivmm-exits-"));
  try {
    const binary = join(folder, "exit-loop");
    execFileSync("gcc", ["-O2", "-Wall", "-o", binary, fileURLToPath(new URL("exit-loop.c", import.meta.url))]);
    console.log(`${exits} exits a round, ${rounds} rounds, medians`);
    measure("port", binary, folder);
    measure("memory", binary, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
