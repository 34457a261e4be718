// Makes the memory of this Node process one that a forked child inherits.
// Node's engine marks its heap MADV_DONTFORK, so that starting programs is cheaper; a child that goes on as JavaScript
// would find holes there and die. The marks are taken off, and a seccomp filter makes later ones do nothing: it answers
// 0 for madvise(.., MADV_DONTFORK) on this thread and whatever it forks, and lets everything else pass.
// Sources: linux/seccomp.h, linux/filter.h; node's build option v8_enable_private_mapping_fork_optimization.
// Invariants: done once a process. The engine must have no helper threads at work, hence node --single-threaded.

import { MinivmmError } from "../error.ts";
import { memoryAreas } from "./address-space.ts";
import { libc } from "./libc.ts";
import { type ProcessCalls, processCalls } from "./process-calls.ts";

const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;
const PR_SET_SECCOMP = 22;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_MODE_FILTER = 2;
const SECCOMP_RET_ERRNO = 0x0005_0000;
const SECCOMP_RET_ALLOW = 0x7fff_0000;
/** BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K. */
const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
/** Offsets in struct seccomp_data: arch, number of the call, low half of its third argument. */
const ARCH = 4;
const NUMBER = 0;
const ADVICE = 32;
const AUDIT_ARCH_X86_64 = 0xc000_003e;
const NR_MADVISE = 28;
/** Lower addresses belong to the process, those above to the kernel. */
const USER_END = 2n ** 47n;

let done = false;

/** Throws MinivmmError FORK_UNSUPPORTED unless node runs on one thread and the kernel takes the filter. */
export function inheritMemory(): void {
  if (done) return;
  if (process.arch !== "x64") throw refused("the filter is written for x86_64");
  if (!process.execArgv.includes("--single-threaded")) {
    throw refused("node has helper threads, which a child would wait for in vain");
  }
  ignoreDontFork(processCalls());
  takeMarksOff(processCalls());
  done = true;
}

function refused(why: string, errno?: number): MinivmmError {
  return new MinivmmError(`this process cannot be forked: ${why}`, {
    code: "FORK_UNSUPPORTED",
    errno,
    details: { arch: process.arch, execArgv: process.execArgv },
    hint: "Start node with --single-threaded on Linux x86_64.",
  });
}

function ignoreDontFork(calls: ProcessCalls): void {
  const program = filter([
    [LOAD, 0, 0, ARCH],
    [JUMP_IF_EQUAL, 0, 5, AUDIT_ARCH_X86_64],
    [LOAD, 0, 0, NUMBER],
    [JUMP_IF_EQUAL, 0, 3, NR_MADVISE],
    [LOAD, 0, 0, ADVICE],
    [JUMP_IF_EQUAL, 0, 1, MADV_DONTFORK],
    [RETURN, 0, 0, SECCOMP_RET_ERRNO],
    [RETURN, 0, 0, SECCOMP_RET_ALLOW],
  ]);
  // struct sock_fprog: number of instructions, and where they are. The kernel copies them during the call.
  const head = new BigUint64Array([BigInt(program.length / 8), libc().koffi.address(program)]);
  const ret =
    calls.prctl(PR_SET_NO_NEW_PRIVS, 1, null) ||
    calls.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, new Uint8Array(head.buffer));
  if (ret < 0) throw refused("the kernel refuses the system call filter", -ret);
}

/** struct sock_filter: u16 code, u8 when true, u8 when false, u32 operand. */
function filter(instructions: readonly (readonly [number, number, number, number])[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, whenTrue, whenFalse, operand]] of instructions.entries()) {
    view.setUint16(index * 8, code, true);
    bytes[index * 8 + 2] = whenTrue;
    bytes[index * 8 + 3] = whenFalse;
    view.setUint32(index * 8 + 4, operand, true);
  }
  return bytes;
}

/** Mappings of devices and the kernel's own pages refuse it; they never had the mark. */
function takeMarksOff(calls: ProcessCalls): void {
  for (const { start, end, shared } of memoryAreas()) {
    if (!shared && end < USER_END) calls.madvise(start, Number(end - start), MADV_DOFORK);
  }
}
