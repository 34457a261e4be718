// The choice of host: this machine's kernel, or a modelled one with one process on it. Whoever opened it closes it.
// Models of hosts are loaded when one is asked for; a guest on the real host does not wait for them.
import { type Host, realHost } from "@minivmm/host";
import type { ModelHostOptions } from "@minivmm/model-host";
import type { DmaWatch } from "@minivmm/pci";
import type { HostRequest } from "../options/host.ts";

export interface OpenedHost extends Disposable {
  readonly host: Host;
  /** For people: "this machine" or "modelled host power9". */
  readonly title: string;
  /** Modelled hosts alone: tells of the DMA of their functions, or nobody with null. */
  readonly observeDma?: (watch: DmaWatch | null) => void;
  close(): void;
}

/** `options` overrides what the request says of a modelled host. Rejects with MinivmmError. */
export async function openHost(request: HostRequest, options: ModelHostOptions = {}): Promise<OpenedHost> {
  if (request.kind === "real") {
    const host = realHost();
    return opened(host, "this machine", () => host.exit());
  }
  const { modelHost } = await import("@minivmm/model-host");
  const { name, ...spec } = request.spec;
  const model = modelHost(name, { ...spec, ...options });
  const host = model.spawn();
  const end = (): void => {
    host.exit();
    model.close();
  };
  return { ...opened(host, `modelled host ${name}`, end), observeDma: (watch) => model.topology.watchDma(watch) };
}

/** `end` is called once. */
function opened(host: Host, title: string, end: () => void): OpenedHost {
  let open = true;
  const close = (): void => {
    if (open) end();
    open = false;
  };
  return { host, title, close, [Symbol.dispose]: close };
}
