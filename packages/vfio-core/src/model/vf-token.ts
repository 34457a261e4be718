/**
 * The VF token: a UUID that the user of an SR-IOV physical function and those of its virtual functions share.
 *
 * A physical function bound to vfio-pci has one, random at first. Virtual functions that came about under vfio-pci are
 * opened with it; while one of them is open so is the physical function, and else a token given with the physical
 * function becomes the token. Source: vfio_pci_validate_vf_token, vfio_pci_core_feature_token.
 */
import { EACCES, EINVAL } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";

export const UUID_SIZE = 16;

export class VfToken {
  #uuid: Uint8Array = crypto.getRandomValues(new Uint8Array(UUID_SIZE));
  /** Open virtual functions that were opened with it. */
  users = 0;

  set(uuid: Uint8Array): void {
    this.#uuid = uuid.slice(0, UUID_SIZE);
  }

  equals(uuid: Uint8Array): boolean {
    return this.#uuid.every((byte, i) => byte === uuid[i]);
  }
}

export interface TokenDevice {
  readonly name: string;
  readonly isVirtual: boolean;
  /** That of a physical function; null for all others. */
  readonly vfToken: VfToken | null;
  /** Of a virtual function that vfio-pci brought about: its physical function's token. */
  readonly sharedToken: VfToken | null;
  /** A line for the kernel's log. */
  report(line: string): void;
}

/** Whether the device may be opened with this token, or without one. Throws KernelError EINVAL or EACCES. */
export function validateVfToken(device: TokenDevice, given: Uint8Array | null): void {
  if (device.isVirtual) {
    const { sharedToken } = device;
    if (sharedToken) demand(device, sharedToken, given);
    else if (given) refuse(device, EINVAL, "VF token incorrectly provided, PF not bound to vfio-pci");
  } else if (device.vfToken) {
    if (device.vfToken.users > 0) demand(device, device.vfToken, given);
    else if (given) device.vfToken.set(given);
  } else if (given) {
    refuse(device, EINVAL, "VF token incorrectly provided, not a PF or VF");
  }
}

function demand(device: TokenDevice, token: VfToken, given: Uint8Array | null): void {
  if (!given) refuse(device, EACCES, "VF token required to access device");
  if (!token.equals(given)) refuse(device, EACCES, "Incorrect VF token provided for device");
}

function refuse(device: TokenDevice, errno: number, why: string): never {
  device.report(why);
  throw new KernelError(errno, `${device.name}: ${why}`);
}
