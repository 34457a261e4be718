// Hosts and devices for the machine's thread in tests: the real host without devices, or a modelled one with some.
import { realHost } from "@minivmm/host";
import { modelHost } from "@minivmm/model-host";
import { VgaDevice } from "@minivmm/pci/devices";

const MODELS = { vga: () => new VgaDevice({ memory: 1 }) };

/** @param data {{ model?: string, devices?: object[], models?: string[] }} */
export function openPlatform(data, clock) {
  const models = (data.models ?? []).map((name) => ({ driver: "emulated", id: name, device: MODELS[name]() }));
  const devices = [...(data.devices ?? []), ...models];
  if (data.model === undefined) {
    const host = realHost();
    return { host, devices, close: () => host.exit() };
  }
  const model = modelHost(data.model, { clock });
  const host = model.spawn({ memlock: Number.POSITIVE_INFINITY });
  return {
    host,
    devices,
    close: () => {
      host.exit();
      model.close();
    },
  };
}
