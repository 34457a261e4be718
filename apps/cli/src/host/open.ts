// The choice of host: this machine's kernel, or a modelled one with one process on it. Whoever opened it closes it.
import { type ModelHostOptions, modelHost } from "@minivmm/model-host";
import type { HostRequest } from "../options/host.ts";
import { type OpenedHost, opened, openRealHost } from "./real.ts";

export type { OpenedHost };

/** `options` overrides what the request says of a modelled host. Throws MinivmmError. */
export function openHost(request: HostRequest, options: ModelHostOptions = {}): OpenedHost {
  if (request.kind === "real") return openRealHost();
  const { name, ...spec } = request.spec;
  const model = modelHost(name, { ...spec, ...options });
  const host = model.spawn();
  return opened(host, `modelled host ${name}`, () => {
    host.exit();
    model.close();
  });
}
