// Host and devices for the thread of examples/pc-guest.ts: the teaching device of a modelled desktop machine.
import { modelHost } from "@minivmm/model-host";

export function openPlatform(_data, clock) {
  const model = modelHost("desktop", { clock });
  const devices = [{ driver: "vfio-pci", host: "0000:00:05.0" }];
  return { host: model.spawn(), devices, close: () => model.close() };
}
