// The scene of a running case of the POWER form: its process, the descriptors by name, and the mappings made so far, from
// which a transfer of the device knows which memory it was meant for.
// Invariants: a name without a descriptor is -1; the addresses of memory are the recorder's own.

import type { Json } from "../lines.ts";
import type { Actor, RecordedMachine, Stage } from "../machine.ts";
import type { PpcCase, PpcStep } from "./format.ts";
import type { Guest } from "./guest.ts";
import { MadeTables } from "./tables.ts";

export interface Answer {
  /** The call's result, or -errno. */
  readonly ret: number;
  /** Fields that can be compared; what else is recorded is not. */
  readonly out?: Json;
  /** The result is a descriptor: only that it is one is comparable. */
  readonly isFd?: boolean;
}

/** Does a recorded step. `next` is the one after it, which may show what memory held. */
export type Call = (scene: PpcScene, step: PpcStep, next: PpcStep | undefined) => Answer;

/** A successful DMA mapping. */
export interface Mapped {
  readonly iova: bigint;
  readonly size: bigint;
  readonly vaddr: bigint;
}

export class PpcScene {
  readonly stage: Stage;
  readonly recorded: PpcCase;
  readonly actor: Actor;
  readonly fds: Map<string, number>;
  /** Latest last; kept after an unmap, because a refused transfer was meant for the same memory. */
  readonly mappings: Mapped[] = [];
  /** Descriptor of the edu device whose DMA is driven. */
  edu = -1;
  /** Whether this case has filled the device's buffer. */
  bufferKnown = false;
  readonly tables = new MadeTables();
  /** Whether the case looks into KVM's tables. */
  readonly readsTables: boolean;
  /** Where the table that is mapped begins. */
  tableAddress = 0n;
  /** User address of guest physical 0. */
  guestMemory = 0n;
  /** Guest address of the list of entries that was written last. */
  list = 0n;
  /** Runs hypercalls, once there is a vCPU. */
  guest: Guest | null = null;

  constructor(stage: Stage, recorded: PpcCase, actor: Actor = stage.actor, fds?: Map<string, number>) {
    this.stage = stage;
    this.recorded = recorded;
    this.actor = actor;
    this.fds = new Map(fds);
    this.readsTables = recorded.steps.some(({ call }) => call === "kvm_table");
  }

  get machine(): RecordedMachine {
    return this.recorded.machine;
  }

  /** The scene of another process. */
  of(actor: Actor): PpcScene {
    return new PpcScene(this.stage, this.recorded, actor, this.fds);
  }

  fd(name: unknown, otherwise = "c0"): number {
    return this.fds.get(String(name ?? otherwise)) ?? -1;
  }

  named(name: unknown, fd: number): Answer {
    if (fd >= 0 && name !== undefined) this.fds.set(String(name), fd);
    return { ret: fd, isFd: true };
  }

  /** "dev2", "d2" or "2": its address. */
  bdf(name: unknown): string {
    const index = Number(String(name).replace(/^\D+/, ""));
    return this.machine.devices[index]?.bdf ?? String(name);
  }

  group(name: unknown): number | null {
    const index = Number(String(name).replace(/^\D+/, ""));
    return this.machine.devices[index]?.group ?? null;
  }

  /** User address behind a bus address, as far as mappings tell. */
  target(iova: bigint): bigint | null {
    const found = this.mappings.findLast((each) => iova >= each.iova && iova < each.iova + each.size);
    return found ? found.vaddr + (iova - found.iova) : null;
  }
}

/** "0x10" or 16 as bigint. */
export function big(value: unknown): bigint {
  return BigInt.asUintN(64, BigInt((value as string | number | undefined) ?? 0));
}

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
