// What `minivmm doctor` is asked about: a host, the size of the VM to be, and perhaps one device.
import { parseAddress } from "./address.ts";
import type { Given } from "./given.ts";
import { type HostRequest, parseHost } from "./host.ts";
import { parseMemory } from "./machine.ts";

export interface DoctorRequest {
  readonly memoryBytes: number;
  /** Full address of the device that the VM is to get; null: any. */
  readonly device: string | null;
  readonly host: HostRequest;
  readonly json: boolean;
}

/** Throws CliError USAGE_OPTION. */
export function parseDoctor(given: Given): DoctorRequest {
  const device = given.last("device");
  return {
    memoryBytes: parseMemory(given.last("memory")),
    device: device === undefined ? null : parseAddress("doctor: -device", device),
    host: parseHost(given.last("host")),
    json: given.flag("json"),
  };
}
