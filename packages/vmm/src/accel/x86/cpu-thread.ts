// The thread of a CPU other than the first: runs its vCPU and hands what leaves the guest to the machine's thread, which
// it gets out of the guest for that (the machine's devices live there).
// Entry of a worker thread. Invariant: the thread ends when the VM stops, whatever the guest does.
import { workerData } from "node:worker_threads";
import { EINTR, type Host, realHost } from "@minivmm/host";
import { KvmVcpu, RunPageAlias } from "@minivmm/kvm";
import { runCpu } from "./cpu-loop.ts";
import type { ExitTarget } from "./exits.ts";
import type { CpuThreadData } from "./messages.ts";
import { endDetail } from "./run-end.ts";
import { CPU_ENDED, type Letter, type LetterKind, MEMORY_ACCESS, PORT_ACCESS, SharedState } from "./shared-state.ts";

const { cpu, shared: buffer } = workerData as CpuThreadData;
const shared = new SharedState(buffer);

class LetterTarget implements ExitTarget {
  private readonly letter: Letter = { kind: PORT_ACCESS, write: false, width: 1, address: 0, lo: 0, hi: 0 };
  private readonly wakeMachine: () => void;

  constructor(wakeMachine: () => void) {
    this.wakeMachine = wakeMachine;
  }

  readPort(port: number, width: 1 | 2 | 4): number {
    return this.send(PORT_ACCESS, false, width, port, 0, 0) ? this.letter.lo : 0;
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.send(PORT_ACCESS, true, width, port, value, 0);
  }

  readMemory(address: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    const answered = this.send(MEMORY_ACCESS, false, width, address, 0, 0);
    out[0] = answered ? this.letter.lo : 0;
    out[1] = answered ? this.letter.hi : 0;
  }

  writeMemory(address: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    this.send(MEMORY_ACCESS, true, width, address, lo, hi);
  }

  /** False: the VM stops and nobody will answer. */
  send(kind: LetterKind, write: boolean, width: Letter["width"], address: number, lo: number, hi: number): boolean {
    const { letter } = this;
    letter.kind = kind;
    letter.write = write;
    letter.width = width;
    letter.address = address;
    letter.lo = lo;
    letter.hi = hi;
    shared.post(cpu, letter);
    this.wakeMachine();
    return shared.awaitAnswer(cpu, letter);
  }
}

function runGuest(host: Host, fd: number): void {
  const vcpu = KvmVcpu.adopt(host, fd, cpu, shared.runPageBytes);
  const first = new RunPageAlias(host, shared.descriptor(0));
  const target = new LetterTarget(() => {
    first.immediateExit = true;
    host.threads?.interrupt(shared.thread(0));
  });
  const counts = { ports: 0, memory: 0, interrupted: 0 };
  while (!shared.stopping) {
    const reason = runCpu(vcpu, target, counts, false);
    if (reason === -EINTR) {
      vcpu.immediateExit = false;
      continue;
    }
    target.send(CPU_ENDED, true, 1, 0, reason, endDetail(vcpu, reason));
    break;
  }
  // The machine's thread made the vCPU, and closes it.
  first.close();
  vcpu.detach();
}

const host = realHost();
shared.setThread(cpu, host.threads?.current() ?? 0);
const fd = shared.waitForDescriptor(cpu);
if (fd >= 0 && shared.enter()) {
  try {
    runGuest(host, fd);
  } finally {
    shared.leave();
  }
}
