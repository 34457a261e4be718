// Hosts and devices for the machine's thread in tests: the real host without devices, or a modelled one with some.
import { realHost } from "@minivmm/host";
import { modelHost } from "@minivmm/model-host";

/** @param data {{ model?: string, devices?: object[] }} */
export function openPlatform(data, clock) {
  const devices = data.devices ?? [];
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
