// From what the command line asks to plug in to the VMM's device configuration: opens disk images, makes device models.
import { edu, fileDisk, nvme } from "@minivmm/pci/devices";
import type { DeviceConfig, ScsiDiskConfig } from "@minivmm/vmm";
import type { DeviceRequest } from "../options/device.ts";
import type { ScsiDiskRequest } from "../options/scsi.ts";

/** Models own what they were given and close it with themselves. Throws PciError DISK. */
export function deviceConfigs(requests: readonly DeviceRequest[]): DeviceConfig[] {
  const made: DeviceConfig[] = [];
  try {
    for (const request of requests) made.push(deviceConfig(request));
  } catch (error) {
    closeDevices(made);
    throw error;
  }
  return made;
}

/** For configurations that no machine has taken over. */
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

function deviceConfig(request: DeviceRequest): DeviceConfig {
  if (request.driver === "spapr-vscsi") return { ...request, disks: scsiDisks(request.disks) };
  const placed = {
    ...(request.id === undefined ? {} : { id: request.id }),
    ...(request.slot === undefined ? {} : { slot: request.slot }),
  };
  switch (request.driver) {
    case "vfio-pci":
      return request;
    case "nvme": {
      const disk = fileDisk(request.file, { readonly: request.readonly });
      const serial = request.serial === undefined ? {} : { serial: request.serial };
      return { driver: "emulated", device: nvme({ disk, ...serial }), ...placed };
    }
    case "edu":
      return { driver: "emulated", device: edu(), ...placed };
  }
}
