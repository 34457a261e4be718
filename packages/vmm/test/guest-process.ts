// Runs a static Linux program on the CPU engine alone: its system calls leave through the trap address (vector 0xC00)
// and a few lines of TypeScript answer them. No kernel, no machine: what is tried is the program.
import { Cpu, ExitReason } from "@minivmm/ppc64";
import { loadElf, parseElf } from "../src/boot/elf.ts";
import { SYS } from "../src/guests/linux-calls.ts";

export const ENOENT = 2;
const EIO = 5;
const ENOTTY = 25;
const ENOSYS = 38;

const SYSTEM_CALL = 0xc00;
const SRR0 = 26;
const SRR1 = 27;
const REAL_MODE = 0x8000000000000001n;
const RAM_BYTES = 32 << 20;
const STACK = 0x1f00000;
const CR0_SO = 0x10000000;

export interface ProcessWorld {
  readonly device: string;
  readonly disk: Uint8Array;
  /** open() of the device fails this often before it succeeds. */
  readonly opensToFail?: number;
  /** Console input, a read each. */
  readonly input?: readonly string[];
  /** finit_module of these paths fails with EEXIST (17) or any other errno. */
  readonly moduleErrors?: Readonly<Record<string, number>>;
}

export interface ProcessResult {
  readonly console: string;
  /** Exit status, or undefined when reboot() ended it. */
  readonly status: number | undefined;
  /** Every call by name in order, without the reads, writes and sleeps. */
  readonly calls: readonly string[];
  readonly modules: readonly string[];
  readonly flushed: boolean;
}

/** Runs to exit() or reboot(). Throws when the program leaves the engine in any other way. */
export function runProcess(elf: Uint8Array, world: ProcessWorld): ProcessResult {
  const cpu = Cpu.create({ ramBytes: RAM_BYTES, trapAddress: SYSTEM_CALL });
  const ram = new Uint8Array(cpu.memory.buffer, cpu.ramOffset, RAM_BYTES);
  const image = parseElf(elf, "guest program");
  loadElf(image, ram, "guest program");
  cpu.setGpr(1, 0, STACK);
  cpu.pc = BigInt(image.entry);
  cpu.msr = REAL_MODE;

  const calls: string[] = [];
  const modules: string[] = [];
  const files = new Map<number, string>();
  const input = [...(world.input ?? [])];
  let opensLeft = world.opensToFail ?? 0;
  let console = "";
  let flushed = false;
  let status: number | undefined | "running" = "running";

  const text = (at: number): string => new TextDecoder().decode(ram.subarray(at, ram.indexOf(0, at)));
  const open = (path: string): number => {
    calls.push(`open ${path}`);
    if (path === world.device && opensLeft-- > 0) return -ENOENT;
    const fd = files.size;
    files.set(fd, path);
    return fd;
  };
  const transfer = (fd: number, at: number, length: number, offset: number, write: boolean): number => {
    if (files.get(fd) !== world.device) return -EIO;
    if (offset + length > world.disk.length) return Math.max(0, world.disk.length - offset);
    if (write) world.disk.set(ram.subarray(at, at + length), offset);
    else ram.set(world.disk.subarray(offset, offset + length), at);
    return length;
  };
  const call = (nr: number, a: number, b: number, c: number, d: number): number => {
    switch (nr) {
      case SYS.exit:
        status = a;
        return 0;
      case SYS.reboot:
        calls.push("reboot");
        status = undefined;
        return 0;
      case SYS.read: {
        const bytes = new TextEncoder().encode(input.shift() ?? "");
        ram.set(bytes, b);
        return bytes.length;
      }
      case SYS.write:
        console += new TextDecoder().decode(ram.subarray(b, b + c));
        return c;
      case SYS.open:
        return open(text(a));
      case SYS.dup:
        files.set(files.size, files.get(a) ?? "");
        return files.size - 1;
      case SYS.mount:
        calls.push(`mount ${text(b)}`);
        return 0;
      case SYS.finit_module: {
        const path = files.get(a) ?? "";
        modules.push(path);
        return -(world.moduleErrors?.[path] ?? 0);
      }
      case SYS.ioctl:
        if (files.get(a) !== world.device) return -ENOTTY;
        new DataView(ram.buffer, ram.byteOffset).setBigUint64(c, BigInt(world.disk.length), true);
        return 0;
      case SYS.pread64:
      case SYS.pwrite64:
        return transfer(a, b, c, d, nr === SYS.pwrite64);
      case SYS.fsync:
        flushed = true;
        return 0;
      case SYS.mkdir:
      case SYS.close:
      case SYS.sync:
      case SYS.nanosleep:
        return 0;
      default:
        return -ENOSYS;
    }
  };

  while (status === "running") {
    const reason = cpu.run(1_000_000);
    if (reason === ExitReason.budget) continue;
    if (reason !== ExitReason.trap) throw new Error(`exit ${reason} at 0x${cpu.pc.toString(16)}: ${cpu.exit.message}`);
    const result = call(cpu.gprLo(0), cpu.gprLo(3), cpu.gprLo(4), cpu.gprLo(5), cpu.gprLo(6));
    cpu.setGpr(3, 0, Math.abs(result));
    cpu.pc = cpu.spr(SRR0);
    cpu.msr = cpu.spr(SRR1);
    cpu.cr = result < 0 ? (cpu.cr | CR0_SO) >>> 0 : (cpu.cr & ~CR0_SO) >>> 0;
  }
  return { console, status, calls, modules, flushed };
}
