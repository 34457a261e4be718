// A host that is open, and this machine's kernel as one. Apart from open.ts, so that who needs no modelled host loads none.
import { type Host, realHost } from "@minivmm/host";

export interface OpenedHost extends Disposable {
  readonly host: Host;
  /** For people: "this machine" or "modelled host power9". */
  readonly title: string;
  close(): void;
}

export function openRealHost(): OpenedHost {
  const host = realHost();
  return opened(host, "this machine", () => host.exit());
}

/** `end` is called once. */
export function opened(host: Host, title: string, end: () => void): OpenedHost {
  let open = true;
  const close = (): void => {
    if (open) end();
    open = false;
  };
  return { host, title, close, [Symbol.dispose]: close };
}
