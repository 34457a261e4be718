// What the parts of a POWER vCPU know of one another, and of the VM around them.

import type { Vm } from "../frame.ts";
import type { VcpuCounters } from "./counters.ts";
import type { PowerCpu } from "./engine.ts";
import type { GuestClock } from "./guest-clock.ts";
import type { RunPage } from "./run-page.ts";
import type { VirtualProcessorAreas } from "./vpa.ts";

/** The POWER part of a VM. */
export interface PowerVmFrame {
  readonly vm: Vm;
  readonly vcpus: ReadonlyMap<number, PowerVcpuFrame>;
  /** The vCPU that is in KVM_RUN: hypercall handlers are called for it. */
  running: PowerVcpuFrame | null;
  lpcr: bigint;
  /** KVM_REG_PPC_PTCR, for nested guests that nobody starts. */
  nestedTable: bigint;
}

export interface PowerVcpuFrame {
  readonly id: number;
  readonly power: PowerVmFrame;
  readonly cpu: PowerCpu;
  readonly page: RunPage;
  readonly clock: GuestClock;
  readonly areas: VirtualProcessorAreas;
  readonly counters: VcpuCounters;
  /** Registers that are storage only, by id. */
  readonly stored: ReadonlyMap<bigint, bigint>;
  readonly papr: boolean;
  lpcr: bigint;
  online: number;
  /** Instructions that KVM_REG_PPC_IC says were completed before the CPU began to count. */
  retiredBefore: bigint;

  /** The engine, with the memory slots as they are now. */
  ready(): PowerCpu;
  useProcessTable(): void;
  /** These return 0. */
  setLpcr(lpcr: bigint): number;
  store(id: bigint, value: bigint): number;
  /** H_PROD: ends the vCPU's sleep, or its next one before it begins. */
  prod(): void;
}
