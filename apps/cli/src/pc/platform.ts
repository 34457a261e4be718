// The module that the thread of a machine pc imports for its host and devices (PlatformModule of @minivmm/vmm).
// Invariants: nothing is open when it throws; close() gives back in reverse order. Models take the thread's clock, which has
// their timers run however busy the guest is. Without models of devices none are loaded: a guest would wait for them.
import type { PcDeviceConfig, PcPlatform, PlatformClock } from "@minivmm/vmm/pc";
import { openHost } from "../host/open.ts";
import type { PciDeviceRequest } from "../options/device.ts";
import type { HostRequest } from "../options/host.ts";
import type { VfioRequest } from "../options/vfio.ts";

/** What the main thread sends: plain data. */
export interface PcPlatformData {
  readonly host: HostRequest;
  readonly devices: readonly PciDeviceRequest[];
}

/** Throws MinivmmError for a host that cannot be made, PciError DISK for an image that cannot be opened. */
export async function openPlatform(data: unknown, clock: PlatformClock): Promise<PcPlatform> {
  const request = data as PcPlatformData;
  const opened = await openHost(request.host, { clock });
  try {
    const { devices, close } = await plug(request.devices, clock);
    return {
      host: opened.host,
      devices,
      observeDma: opened.observeDma,
      close() {
        close();
        opened.close();
      },
    };
  } catch (error) {
    opened.close();
    throw error;
  }
}

interface Plugged {
  readonly devices: readonly PcDeviceConfig[];
  close(): void;
}

async function plug(requests: readonly PciDeviceRequest[], clock: PlatformClock): Promise<Plugged> {
  if (requests.every(isFunction)) return { devices: requests, close: () => undefined };
  const { closeDevices, deviceConfigs } = await import("../host/plug.ts");
  const devices = deviceConfigs(requests, clock);
  return { devices, close: () => closeDevices(devices) };
}

function isFunction(request: PciDeviceRequest): request is VfioRequest {
  return request.driver === "vfio-pci";
}
