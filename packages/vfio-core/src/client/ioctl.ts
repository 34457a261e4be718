/** Small helpers of the client: request numbers of a host, once per architecture. */
import type { Arch, Host } from "@minivmm/host";
import { type VfioIoctls, vfioIoctls } from "../uapi.ts";

const NUMBERS = new Map<Arch, VfioIoctls>();

export function ioctlsOf(host: Host): VfioIoctls {
  let numbers = NUMBERS.get(host.arch);
  if (!numbers) {
    numbers = vfioIoctls(host.arch);
    NUMBERS.set(host.arch, numbers);
  }
  return numbers;
}
