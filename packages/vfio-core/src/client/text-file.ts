/** Attribute files and links as text; what cannot be read is null. */
import type { Host } from "@minivmm/host";

/** The text of a file without what surrounds it. */
export function textFile(host: Host, path: string): string | null {
  const bytes = host.readFile(path);
  return typeof bytes === "number" ? null : new TextDecoder().decode(bytes).trim();
}

/** Names in a directory; none when it cannot be read. */
export function namesIn(host: Host, path: string): string[] {
  const names = host.readdir(path);
  return typeof names === "number" ? [] : names;
}
