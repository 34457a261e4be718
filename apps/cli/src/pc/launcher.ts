// Machines pc: each has a thread of its own, and that thread opens host and devices, because descriptors of VFIO and models
// of devices belong to whoever opened them (platform.ts). Here is only what the thread is told.
import { createPcVm } from "@minivmm/vmm";
import type { Launcher } from "../launcher.ts";
import { isPciDevice } from "../options/device.ts";
import type { PcRequest } from "../options/pc-machine.ts";
import type { RunRequest } from "../options/run-options.ts";
import type { PcPlatformData } from "./platform.ts";

/** `create` makes a VM; tests hand in their own. */
export function pcLauncher(
  { memoryBytes, cpus }: PcRequest,
  { host, kernel, append, devices }: RunRequest,
  initrd: Uint8Array | undefined,
  create: typeof createPcVm = createPcVm,
): Launcher {
  const data: PcPlatformData = { host, devices: devices.filter(isPciDevice) };
  return {
    launch: (console) =>
      create({
        machine: "pc",
        memoryBytes,
        cpus,
        kernel: { path: kernel },
        append,
        ...(initrd === undefined ? {} : { initrd }),
        console,
        platform: { module: platformUrl(), data },
      }),
    [Symbol.dispose]: () => undefined,
  };
}

/** Built code: a thread takes neither the loader nor the conditions of the main thread. */
export function platformUrl(): string {
  const here = import.meta.url;
  return here.endsWith(".ts") ? new URL("../../dist/pc/platform.js", here).href : new URL("platform.js", here).href;
}
