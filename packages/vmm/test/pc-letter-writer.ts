// The thread of a CPU other than the first, as far as letters go: waits for its vCPU's descriptor, sends letters and adds up
// the answers, says that its CPU ended, and sends one more that it waits for until the VM stops.
import { workerData } from "node:worker_threads";
import { CPU_ENDED, type Letter, PORT_ACCESS, SharedState } from "../src/accel/x86/shared-state.ts";

const CPU = 1;
const KVM_EXIT_SHUTDOWN = 8;
const { buffer, letters } = workerData as { buffer: SharedArrayBuffer; letters: number };
const shared = new SharedState(buffer);
const letter: Letter = { kind: PORT_ACCESS, write: false, width: 4, address: 0, lo: 0, hi: 0 };

function send(): boolean {
  shared.post(CPU, letter);
  return shared.awaitAnswer(CPU, letter);
}

let sum = 0;
shared.setThread(CPU, 1);
if (shared.waitForDescriptor(CPU) === 7 && shared.enter()) {
  for (let port = 0; port < letters; port++) {
    letter.address = port;
    if (send()) sum += letter.lo;
  }
  letter.kind = CPU_ENDED;
  letter.lo = KVM_EXIT_SHUTDOWN;
  send();
  while (send());
  shared.leave();
}
process.exitCode = sum % 251;
