// The benchmark's disk: a known pattern that the guest reads, room behind it for what the guest writes back, and a
// stopwatch: the guest flushes it before and after what is measured. The guest's own clock plays no part.
import type { Disk } from "@minivmm/pci/devices";
import { memoryDisk } from "@minivmm/pci/devices";
import { diskPattern, READ_PATTERN, TCE_BENCH_DISK, TCE_BENCH_WRITTEN } from "@minivmm/vmm/guests";

/** Milliseconds: of the wall clock, and of processor time. */
export interface Mark {
  readonly wall: number;
  readonly processor: number;
}

export interface StopwatchDisk {
  readonly disk: Disk;
  /** What this process had used at each flush. */
  readonly marks: readonly Mark[];
  /** Whether the last batch came back unharmed, and nothing else was changed. */
  intact(): boolean;
}

export function stopwatchDisk(): StopwatchDisk {
  const bytes = new Uint8Array(TCE_BENCH_DISK);
  const pattern = diskPattern(TCE_BENCH_WRITTEN, READ_PATTERN);
  bytes.set(pattern);
  const marks: Mark[] = [];
  const disk = {
    ...memoryDisk(bytes),
    memory: bytes,
    flush() {
      const { user, system } = process.cpuUsage();
      marks.push({ wall: performance.now(), processor: (user + system) / 1000 });
      return 0;
    },
  };
  const intact = (): boolean => {
    const written = bytes.subarray(TCE_BENCH_WRITTEN);
    const read = bytes.subarray(0, TCE_BENCH_WRITTEN);
    return Buffer.compare(read, pattern) === 0 && Buffer.compare(pattern.subarray(0, written.length), written) === 0;
  };
  return { disk, marks, intact };
}
