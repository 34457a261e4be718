// The software accelerator as a VM sees it: one CPU engine in this process, whose exits all come here.
import { GuestMemory } from "@minivmm/host";
import { type CacheWatch, Cpu, ExitReason, Ppc64Error } from "@minivmm/ppc64";
import { hex, VmmError } from "../errors.ts";
import type { PseriesCpu } from "../machines/pseries/machine.ts";
import { rtasEntry } from "../machines/pseries/memory-map.ts";
import type { Accelerator, AccelMachine, CpuInspection, RunEnd } from "./accelerator.ts";
import { type GuestClock, instructionClock, wallClock } from "./guest-clock.ts";
import { SoftAccel } from "./soft.ts";

/** POWER9 DD2.3, as the architecture level that the device tree names. */
const PVR_POWER9 = 0x004e1203;
const MSR_SF_LE = 0x8000000000000001n;
const R3 = 3;
const R5 = 5;
const INSTRUCTION = 4n;

/** `cacheWatch`: somebody who wants to hear of what concerns data caches. Throws VmmError USAGE_MEMORY_TOO_LARGE. */
export function softwareAccelerator(
  ramBytes: number,
  clock: "wall" | "instructions",
  cacheWatch?: CacheWatch,
): Accelerator {
  return new SoftwareAccelerator(createCpu(ramBytes, cacheWatch), clock);
}

/** The engine keeps RAM, its own state and decoded code in 4 GiB together. */
function createCpu(ramBytes: number, cacheWatch: CacheWatch | undefined): Cpu {
  const watched = cacheWatch === undefined ? {} : { cacheWatch };
  try {
    return Cpu.create({ ramBytes, pvr: PVR_POWER9, trapAddress: rtasEntry(ramBytes), ...watched });
  } catch (cause) {
    throw noRoom(ramBytes, cause);
  }
}

/** What to throw when RAM of this size could not be made. */
export function noRoom(ramBytes: number, cause: unknown): unknown {
  if (!(cause instanceof Ppc64Error) && !(cause instanceof RangeError)) return cause;
  return new VmmError(`the software CPU cannot be made with ${hex(ramBytes)} bytes of memory: ${cause.message}`, {
    code: "USAGE_MEMORY_TOO_LARGE",
    details: { ramBytes },
    hint: "give the guest less memory; up to 3.5 GiB work where the host has them",
    cause,
  });
}

class SoftwareAccelerator implements Accelerator {
  readonly name = "soft";
  readonly ram: GuestMemory;
  readonly cpu: PseriesCpu;
  readonly inspection: CpuInspection;
  private readonly engine: Cpu;
  private readonly clock: GuestClock;
  private loop: SoftAccel | undefined;
  private stopped = false;

  constructor(engine: Cpu, clock: "wall" | "instructions") {
    this.engine = engine;
    this.ram = new GuestMemory(engine.memory.buffer, engine.ramOffset, engine.ramBytes);
    this.inspection = inspectionOf(engine);
    this.clock = clock === "wall" ? wallClock(engine) : instructionClock(engine);
    this.cpu = {
      setAil: (on) => engine.setAil(on),
      setProcessTable: (base, sizeLog2) => engine.setProcessTable(base, sizeLog2),
      flushTlb: () => engine.flushTlb(),
      cede: () => this.loop?.cede(),
      setCombinable: (ranges) => engine.setCombinable(ranges),
      setExternalInterrupt: (level) => {
        engine.setExternalInterrupt(level);
        if (level) this.loop?.wake();
      },
    };
  }

  get exits(): Readonly<Record<string, number>> {
    return { ...this.loop?.exits };
  }

  get idleMs(): number {
    return this.loop?.idleMs ?? 0;
  }

  get instructions(): number {
    return this.engine.retired;
  }

  counters(): Readonly<Record<string, unknown>> {
    return { ...this.engine.counters };
  }

  timeOfDay(): number {
    return this.clock.timeOfDay();
  }

  enter(entry: number, argument: number): void {
    this.engine.setGpr(R3, 0, argument);
    this.engine.setGpr(R5, 0, 0);
    this.engine.msr = MSR_SF_LE;
    this.engine.pc = BigInt(entry);
  }

  run(machine: AccelMachine, onPause: () => void): Promise<RunEnd> {
    this.loop = new SoftAccel({ cpu: this.engine, machine, clock: this.clock, onPause });
    if (this.stopped) this.loop.stop();
    return this.loop.run();
  }

  stop(): void {
    this.stopped = true;
    this.loop?.stop();
  }

  close(): void {
    this.stop();
  }
}

/** PC is behind the `sc` of a hypercall, and at the entry of RTAS in a call of it. */
function inspectionOf(engine: Cpu): CpuInspection {
  return {
    pc: () => {
      if (engine.lastExit === ExitReason.hcall) return engine.pc - INSTRUCTION;
      return engine.lastExit === ExitReason.trap ? engine.lr - INSTRUCTION : engine.pc;
    },
    hypercall: () => (engine.lastExit === ExitReason.hcall ? engine.gprLo(R3) : -1),
    retired: () => engine.retired,
    forgetTranslations: () => engine.forgetTranslations(),
  };
}
