// createPcVm: machine pc. The machine itself and each CPU have threads of their own, and they are started first: what only
// this thread needs to work with them is loaded while they start.
import { PcThreads } from "./accel/x86/pc-threads.ts";
import { type PcVmConfig, resolvePcConfig } from "./pc-config.ts";
import { type PcSummary, Timeline } from "./summary.ts";
import type { Vm } from "./vm.ts";

/**
 * Builds the machine, takes its devices and loads the kernel. Throws VmmError (USAGE_* for what the caller can change,
 * BZIMAGE_* and ELF_* for a bad kernel, PASSTHROUGH), VfioError for a device that the host does not give, KvmError.
 */
export async function createPcVm(config: PcVmConfig): Promise<Vm<PcSummary>> {
  const resolved = resolvePcConfig(config);
  const timeline = new Timeline(() => 0, resolved.since);
  const threads = new PcThreads(resolved, timeline.origin);
  let made: { close(): void } = threads;
  try {
    const { PcVm } = await import("./accel/x86/pc-vm.ts");
    const vm = new PcVm(resolved, threads, timeline);
    made = vm;
    await vm.load();
    await vm.ready;
    return vm;
  } catch (error) {
    made.close();
    await threads.ended;
    throw error;
  }
}
