// The module that the thread of a machine pc imports for its host and devices (PlatformModule of @minivmm/vmm).
// Invariants: nothing is open when it throws; close() gives back in reverse order. Models take the thread's clock, which has
// their timers run however busy the guest is.
import type { PcPlatform, PlatformClock } from "@minivmm/vmm";
import { closeDevices, deviceConfigs } from "../host/plug.ts";
import { openRealHost } from "../host/real.ts";
import type { PciDeviceRequest } from "../options/device.ts";
import type { HostRequest } from "../options/host.ts";

/** What the main thread sends: plain data. */
export interface PcPlatformData {
  readonly host: HostRequest;
  readonly devices: readonly PciDeviceRequest[];
}

/** Throws MinivmmError for a host that cannot be made, PciError DISK for an image that cannot be opened. */
export async function openPlatform(data: unknown, clock: PlatformClock): Promise<PcPlatform> {
  const request = data as PcPlatformData;
  // A thread on the real host has no use for models of hosts, and a guest would wait for them to be loaded.
  const opened =
    request.host.kind === "real" ? openRealHost() : (await import("../host/open.ts")).openHost(request.host, { clock });
  try {
    const devices = deviceConfigs(request.devices, clock);
    return {
      host: opened.host,
      devices,
      close() {
        closeDevices(devices);
        opened.close();
      },
    };
  } catch (error) {
    opened.close();
    throw error;
  }
}
