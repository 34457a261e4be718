// The choice of host: this machine's kernel, or a modelled one with one process on it. Whoever opened it closes it.
import { type Host, realHost } from "@minivmm/host";
import { type ModelHostOptions, modelHost } from "@minivmm/model-host";
import type { HostRequest } from "../options/host.ts";

export interface OpenedHost extends Disposable {
  readonly host: Host;
  /** For people: "this machine" or "modelled host power9". */
  readonly title: string;
  close(): void;
}

/** `options` overrides what the request says of a modelled host. Throws MinivmmError. */
export function openHost(request: HostRequest, options: ModelHostOptions = {}): OpenedHost {
  if (request.kind === "real") {
    const host = realHost();
    return opened(host, "this machine", () => host.exit());
  }
  const { name, ...spec } = request.spec;
  const model = modelHost(name, { ...spec, ...options });
  const host = model.spawn();
  return opened(host, `modelled host ${name}`, () => {
    host.exit();
    model.close();
  });
}

function opened(host: Host, title: string, end: () => void): OpenedHost {
  let open = true;
  const close = (): void => {
    if (open) end();
    open = false;
  };
  return { host, title, close, [Symbol.dispose]: close };
}
