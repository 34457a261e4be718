// Hosts and devices for the machine's thread in tests: the real host without devices, or a modelled one with some.
import { realHost } from "@minivmm/host";
import { modelHost } from "@minivmm/model-host";
import { edu, VgaDevice } from "@minivmm/pci/devices";

const MODELS = {
  vga: () => new VgaDevice({ memory: 1 }),
  edu: (clock) => edu({ after: (ms, run) => clock.after(ms, run), dmaBits: 64, dmaDelay: 1 }),
};

/** @param data {{ model?: string, devices?: object[], models?: string[] }} */
export function openPlatform(data, clock) {
  const models = (data.models ?? []).map((name) => ({ driver: "emulated", id: name, device: MODELS[name](clock) }));
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
    observeDma: (watch) => model.topology.watchDma(watch),
    close: () => {
      host.exit();
      model.close();
    },
  };
}
