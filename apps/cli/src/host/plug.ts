// From what the command line asks to plug in to the VMM's device configuration: opens disk images, makes device models.
import { type After, edu, fileDisk, nvme } from "@minivmm/pci/devices";
import type { DeviceConfig, EmulatedConfig, ScsiDiskConfig, VfioPciConfig } from "@minivmm/vmm";
import { type DeviceRequest, isPciDevice, type PciDeviceRequest } from "../options/device.ts";
import type { ScsiDiskRequest } from "../options/scsi.ts";

type PciConfig = VfioPciConfig | EmulatedConfig;
/** Time for models that take some. Default: real timers of this thread. */
type ModelClock = { readonly after?: After };

/** Models own what they were given and close it with themselves. Throws PciError DISK. */
export function deviceConfigs(requests: readonly PciDeviceRequest[], clock?: ModelClock): PciConfig[];
export function deviceConfigs(requests: readonly DeviceRequest[], clock?: ModelClock): DeviceConfig[];
export function deviceConfigs(requests: readonly DeviceRequest[], clock: ModelClock = {}): DeviceConfig[] {
  const made: DeviceConfig[] = [];
  try {
    for (const request of requests) made.push(deviceConfig(request, clock));
  } catch (error) {
    closeDevices(made);
    throw error;
  }
  return made;
}

/** For configurations that no machine has taken over; those that one has closed stay closed. */
export function closeDevices(configs: readonly DeviceConfig[]): void {
  for (const config of configs) {
    if (config.driver === "emulated") config.device.close();
    else if (config.driver === "spapr-vscsi") for (const { disk } of config.disks) disk.close();
  }
}

function scsiDisks(requests: readonly ScsiDiskRequest[]): ScsiDiskConfig[] {
  const made: ScsiDiskConfig[] = [];
  try {
    for (const { file, readonly, ...rest } of requests) made.push({ disk: fileDisk(file, { readonly }), ...rest });
  } catch (error) {
    for (const { disk } of made) disk.close();
    throw error;
  }
  return made;
}

function deviceConfig(request: DeviceRequest, clock: ModelClock): DeviceConfig {
  if (!isPciDevice(request)) return { ...request, disks: scsiDisks(request.disks) };
  if (request.driver === "vfio-pci") return request;
  const { id, slot } = request;
  const placed = { ...(id === undefined ? {} : { id }), ...(slot === undefined ? {} : { slot }) };
  if (request.driver === "edu") {
    const { noSnoop = false } = request;
    const { after } = clock;
    const timers = after === undefined ? {} : { after: (ms: number, run: () => void) => after.call(clock, ms, run) };
    return { driver: "emulated", device: edu({ ...timers, noSnoop }), ...placed };
  }
  const disk = fileDisk(request.file, { readonly: request.readonly });
  const serial = request.serial === undefined ? {} : { serial: request.serial };
  return { driver: "emulated", device: nvme({ disk, ...serial }), ...placed };
}
