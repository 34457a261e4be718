// `minivmm devices`: the PCI functions of a host, and which of them a guest could be given.
import { openHost } from "../host/open.ts";
import { listPci } from "../host/pci-list.ts";
import { type CliIo, outStyle } from "../io.ts";
import type { HostRequest } from "../options/host.ts";
import { renderDevices } from "../render/devices.ts";

export async function devices(request: HostRequest, json: boolean, io: CliIo): Promise<number> {
  using opened = await openHost(request);
  const entries = listPci(opened.host);
  io.stdout.write(json ? `${JSON.stringify(entries, null, 2)}\n` : renderDevices(opened.title, entries, outStyle(io)));
  return 0;
}
