// Machines pseries: all of a machine is in this thread, on a host that is opened once and outlives each of them.
import { createVm } from "@minivmm/vmm";
import { openHost } from "../host/open.ts";
import { closeDevices, deviceConfigs } from "../host/plug.ts";
import type { Launcher } from "../launcher.ts";
import type { PseriesRequest } from "../options/pseries-machine.ts";
import type { RunRequest } from "../options/run-options.ts";

/** Opens the host, if the `initrd` can be had. Rejects with MinivmmError. */
export async function pseriesLauncher(
  machine: PseriesRequest,
  { host, kernel, append, devices: requests }: RunRequest,
  initrd: Promise<Uint8Array> | undefined,
): Promise<Launcher> {
  const archive = await initrd;
  const opened = await openHost(host);
  return {
    async launch(console, report) {
      const { observeDma } = opened;
      const { coherency } = machine;
      const devices = deviceConfigs(requests);
      try {
        return await createVm(opened.host, {
          ...machine,
          kernel: { path: kernel },
          append,
          ...(archive === undefined ? {} : { initrd: archive }),
          devices,
          console,
          ...(coherency === undefined ? {} : { coherency: { ...coherency, ...given({ report, observeDma }) } }),
        });
      } catch (error) {
        closeDevices(devices);
        throw error;
      }
    },
    [Symbol.dispose]: () => opened.close(),
  };
}

/** Without what is undefined. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
