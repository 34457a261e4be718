// A VM around a guest program, whose output is kept.
import type { CoherencyConfig } from "../../src/coherency/config.ts";
import type { PcProgram } from "../../src/guests/pc-program.ts";
import { createPcVm } from "../../src/pc-vm.ts";
import type { PcSummary, TimelineStart } from "../../src/summary.ts";
import type { Vm, VmExit } from "../../src/vm.ts";

export interface GuestRun {
  readonly vm: Vm<PcSummary>;
  /** What it has written so far. */
  output(): string;
  /** Resolves once the output has `text` in it. */
  said(text: string): Promise<void>;
  type(text: string): void;
  exit(): Promise<VmExit>;
}

export interface GuestOptions {
  readonly cpus?: number;
  readonly memoryMiB?: number;
  /** What openPlatform of platforms.mjs gets. Default: the real host without devices. */
  readonly platform?: unknown;
  readonly since?: TimelineStart;
  readonly initrd?: Uint8Array | Promise<Uint8Array>;
  readonly coherency?: CoherencyConfig;
}

export async function startGuest(program: PcProgram, options: GuestOptions = {}): Promise<GuestRun> {
  let written = "";
  let deliver: (bytes: Uint8Array) => void = () => {};
  const waiting: { text: string; resolve: () => void }[] = [];
  const vm = await createPcVm({
    machine: "pc",
    memoryBytes: (options.memoryMiB ?? 32) * 2 ** 20,
    cpus: options.cpus ?? 1,
    kernel: { bytes: program.elf() },
    platform: { module: new URL("./platforms.mjs", import.meta.url).href, data: options.platform ?? {} },
    ...(options.since === undefined ? {} : { since: options.since }),
    ...(options.initrd === undefined ? {} : { initrd: options.initrd }),
    ...(options.coherency === undefined ? {} : { coherency: options.coherency }),
    console: {
      write: (bytes) => {
        written += new TextDecoder("latin1").decode(bytes);
        for (const each of waiting) if (written.includes(each.text)) each.resolve();
      },
      onInput: (handler) => {
        deliver = handler;
      },
    },
  });
  return {
    vm,
    output: () => written,
    said: (text) =>
      written.includes(text) ? Promise.resolve() : new Promise((resolve) => waiting.push({ text, resolve })),
    type: (text) => deliver(new TextEncoder().encode(text)),
    exit: () => vm.run(),
  };
}
