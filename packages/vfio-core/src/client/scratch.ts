/** Memory for one call that the kernel reads or writes through a pointer inside a struct. */
import { type Host, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { VfioError } from "../error.ts";

/** `use` gets zeroed bytes and their user address, which are gone when it returns. Throws VfioError REFUSED. */
export function withScratch<T>(host: Host, length: number, use: (bytes: Uint8Array, address: bigint) => T): T {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const memory = host.mmap({ length: Math.max(length, 8), prot: PROT_READ | PROT_WRITE, flags });
  if (typeof memory === "number" || !memory.bytes) {
    throw new VfioError(`no memory for a call with ${length} bytes`, { code: "REFUSED", details: { length } });
  }
  try {
    return use(memory.bytes, memory.address);
  } finally {
    memory.close();
  }
}
