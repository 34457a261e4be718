/**
 * The string of GET_DEVICE_FD: a PCI address, optionally followed by blanks and `vf_token=UUID`.
 *
 * Source: vfio_pci_core_match. Text that does not start with the address, or goes on without a blank, names another
 * device; a wrong option is an error of the matching device. What the token is good for is vf-token.ts.
 */
import { EINVAL } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import { type TokenDevice, validateVfToken } from "./vf-token.ts";

const TOKEN = "vf_token=";
const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}/;
const UUID_LENGTH = 36;

/** True when `text` names this device and may open it. Throws KernelError EINVAL for wrong options, EACCES for a token. */
export function matchDevice(device: TokenDevice, text: string): boolean {
  if (!text.startsWith(device.name)) return false;
  let rest = text.slice(device.name.length);
  if (rest !== "" && !rest.startsWith(" ")) return false;
  let token: string | null = null;
  while (rest !== "") {
    if (rest.startsWith(" ")) {
      rest = rest.slice(1);
    } else if (token === null && rest.startsWith(TOKEN)) {
      token = UUID.exec(rest.slice(TOKEN.length))?.[0] ?? refuse(device, "the token is no UUID");
      rest = rest.slice(TOKEN.length + UUID_LENGTH);
    } else {
      refuse(device, `"${rest}" is no option`);
    }
  }
  validateVfToken(device, token === null ? null : parseUuid(token));
  return true;
}

function parseUuid(text: string): Uint8Array {
  const hex = text.replaceAll("-", "");
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

function refuse(device: TokenDevice, why: string): never {
  throw new KernelError(EINVAL, `${device.name}: ${why}`);
}
