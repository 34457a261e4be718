// Machines pc: each has a thread of its own, and that thread opens host and devices, because descriptors of VFIO and models
// of devices belong to whoever opened them (platform.ts). Here is only what the thread is told.
import { createPcVm } from "@minivmm/vmm/pc";
import type { ProcessStart } from "../io.ts";
import type { Launcher } from "../launcher.ts";
import { isPciDevice } from "../options/device.ts";
import type { PcRequest } from "../options/pc-machine.ts";
import type { RunRequest } from "../options/run-options.ts";
import type { PcPlatformData } from "./platform.ts";
import { timelineStart } from "./start-time.ts";

/** The first machine's timeline begins with the process, if that was `started` for it; `create` makes a VM. */
export function pcLauncher(
  { memoryBytes, cpus, coherency }: PcRequest,
  { host, kernel, append, devices }: RunRequest,
  initrd: Promise<Uint8Array> | undefined,
  started?: ProcessStart,
  create: typeof createPcVm = createPcVm,
): Launcher {
  const data: PcPlatformData = { host, devices: devices.filter(isPciDevice) };
  let since = started === undefined ? undefined : timelineStart(started);
  return {
    launch(console, report) {
      const first = since;
      since = undefined;
      return create({
        machine: "pc",
        memoryBytes,
        cpus,
        kernel: { path: kernel },
        append,
        ...(initrd === undefined ? {} : { initrd }),
        console,
        platform: { module: platformUrl(), data },
        ...(first === undefined ? {} : { since: first }),
        ...(coherency === undefined ? {} : { coherency: report === undefined ? {} : { report } }),
      });
    },
    [Symbol.dispose]: () => undefined,
  };
}

/** Built code: a thread takes neither the loader nor the conditions of the main thread. */
export function platformUrl(): string {
  const here = import.meta.url;
  return here.endsWith(".ts") ? new URL("../../dist/pc/platform.js", here).href : new URL("platform.js", here).href;
}
