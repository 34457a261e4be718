// What a recorded case needs of the machine it is played on, beyond the system calls of `Host`: processes that fork,
// single touches of memory that may end in a signal, capabilities, and time.
// A Machine is one way of booting; a Stage is that machine with a fresh process, from the first step of one case to its
// last. Invariants: a stage that was closed leaves nothing open, mapped, bound or running; everything is synchronous,
// so that a forked copy of a real process can go on with the same program.

import type { Host } from "@minivmm/host";

/**
 * What a recorder starts with: it ran as root, and where it gives up a capability the recording has a step for it.
 * Of the capabilities of Linux, those that a recorded call asks for.
 */
export const ROOT_CAPABILITIES: readonly string[] = ["SYS_ADMIN", "SYS_RAWIO", "SYS_RESOURCE", "IPC_LOCK"];

/** A function of the recorded machine. */
export interface RecordedDevice {
  readonly name: string;
  /** `dddd:bb:dd.f`. */
  readonly bdf: string;
  /** IOMMU group number, null where it has none. */
  readonly group: number | null;
  /** The driver at the start of a case; null for none. */
  readonly driver: string | null;
}

/** The machine that a recording was made on. */
export interface RecordedMachine {
  readonly arch: "x86_64" | "ppc64le";
  /** Name of the way it was booted, "full" for the usual one. */
  readonly rig: string;
  /** `uname -r`. */
  readonly release: string;
  /** Bytes. */
  readonly pageSize: 4096 | 65536;
  readonly devices: readonly RecordedDevice[];
  /** Names of the devices in question that had been in use since the machine was booted. Default: none. */
  readonly used?: readonly string[];
}

/** One access of a processor to memory of its process. */
export interface Touch {
  readonly address: bigint;
  /** Bytes: 1, 2, 4 or 8. */
  readonly width: number;
  /** What to store; absent: a load. */
  readonly store?: bigint;
}

/** The loaded value (0 for a store), or the signal that the process would have died of (7 SIGBUS, 11 SIGSEGV). */
export type Touched = { readonly value: bigint } | { readonly signal: number };

/** Work that another process does meanwhile. */
export interface Job<T> {
  /** Waits up to `ms` for its result; null when it has not ended by then. */
  join(ms: number): T | null;
}

/** A process on the machine. */
export interface Actor {
  /** Its system calls. */
  readonly host: Host;
  /** One end of a pipe: a descriptor that is no eventfd. */
  pipe(): number;
  /** A file in memory of `size` bytes. */
  memfd(size: number): number;
  /** Takes a capability ("IPC_LOCK") out of the effective set. */
  drop(capability: string): number;
  munmap(address: bigint, length: number): number;
  mprotect(address: bigint, length: number, prot: number): number;
  /** Asks for base pages only (MADV_NOHUGEPAGE). */
  smallPages(address: bigint, length: number): void;
  touch(touch: Touch): Touched;
  /** Copies from or to ordinary memory of the process; 0 or -EFAULT. */
  readMemory(address: bigint, into: Uint8Array): number;
  writeMemory(address: bigint, from: Uint8Array): number;
  /** pread or pwrite with a buffer that cannot be touched. */
  preadFault(fd: number, size: number, offset: number): number;
  pwriteFault(fd: number, size: number, offset: number): number;
  /** Runs in a forked child that inherits everything, and waits for its end. The result is plain data. */
  child<T>(run: (child: Actor) => T): T;
  /** Runs in another process, with none of the descriptors, without waiting. The result is plain data. */
  background<T>(run: (other: Actor) => T): Job<T>;
}

export interface Stage extends Disposable {
  readonly actor: Actor;
  /** Lets `ms` milliseconds go by. */
  wait(ms: number): void;
  close(): void;
}

export interface Machine {
  /** Shown in reports. */
  readonly name: string;
  /** The stage for one case, or why this machine cannot play it. */
  enter(recorded: RecordedMachine, needs: CaseNeeds): Stage | { readonly skip: string };
  /**
   * Runs a whole case, with its `enter`, in a process of its own, where the machine is the one that the case runs on.
   * The result is plain data.
   * Throws ConformanceError CASE_CRASHED when that process does not end as it should.
   */
  isolated?<T>(recorded: RecordedMachine, run: () => T): T;
}

/** What a case says about the process that it runs in. */
export interface CaseNeeds {
  /** Capabilities of the recorder besides root's file permissions. */
  readonly capabilities: readonly string[];
}
