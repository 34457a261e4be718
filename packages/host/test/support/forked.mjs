// Forks this Node process in many ways and prints what came of it as JSON. Run with --single-threaded, on built packages.
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, realHost } from "@minivmm/host";
import * as real from "@minivmm/host/real";

const MS = 20_000;
const host = realHost();
const flags = MAP_PRIVATE | MAP_ANONYMOUS;
const memory = host.mmap({ length: host.pageSize, prot: PROT_READ | PROT_WRITE, flags });
const results = {};

// The heap grows and is collected in parent and children, over and over.
let litter = [];
let lived = 0;
for (let round = 0; round < 40; round++) {
  for (let i = 0; i < 4000; i++) litter.push({ round, i });
  if (litter.length > 40_000) litter = [];
  const child = real.forkProcess(() => {
    const copy = JSON.parse(JSON.stringify(litter.slice(0, 10_000)));
    return real.forkProcess(() => copy.length).join(MS);
  });
  if (child.join(MS)?.value?.value === Math.min(litter.length, 10_000)) lived++;
}
results.lived = lived;

results.threw = real
  .forkProcess(() => {
    throw new RangeError("no");
  })
  .join(MS);
memory.store(0, 4, 7);
results.copy = real.forkProcess(() => real.access(memory.address, 4, 9n).toString()).join(MS);
results.own = memory.load(0, 4);
results.signal = real.forkProcess(() => real.access(16n, 4).toString()).join(MS);
const sleeper = real.forkProcess(() => real.processCalls().sleep(MS));
results.early = sleeper.join(20);
sleeper.kill();
results.killed = sleeper.join(MS);

const first = real.closeRanks();
const next = host.eventfd(0, 0);
results.next = next - first;
results.closed = real.forkProcess(() => host.close(next), { closeFrom: first }).join(MS);
results.kept = host.close(next);

const bytes = new Uint8Array(4);
results.read = [real.readMemory(memory.address, bytes), bytes[0], real.readMemory(16n, bytes)];
results.write = [real.writeMemory(memory.address, Uint8Array.of(5)), memory.load(0, 1), real.writeMemory(16n, bytes)];
results.kinds = [real.memoryKind(memory.address), real.memoryKind(16n)];
const file = real.memfd(8);
results.fault = [real.preadFault(file, 4, 0), real.pwriteFault(file, 4, 0)];
const end = real.pipe();
results.pipe = host.pread(end, bytes, 0);
results.dropped = real.forkProcess(() => real.dropCapability("IPC_LOCK")).join(MS);

real.adoptOrphans();
real.forkProcess(() => void real.forkProcess(() => real.processCalls().sleep(50))).join(MS);
results.reaped = real.reapAll(MS);
console.log(JSON.stringify(results));
