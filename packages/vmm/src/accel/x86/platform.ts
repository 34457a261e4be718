// Where the thread of a machine gets its host and its devices from. Neither can be handed from thread to thread, so the
// thread imports a module that makes them: whoever starts a VM names it, with plain data that says which.
import type { Host } from "@minivmm/host";
import type { DmaWatch } from "@minivmm/pci";
import type { PcDeviceConfig } from "../../machines/pc/devices.ts";

/** Time in a thread that runs a guest. */
export interface PlatformClock {
  /** Milliseconds; only differences mean something. */
  now(): number;
  /** Calls `run` once, `ms` from now, however busy the guest is. */
  after(ms: number, run: () => void): { cancel(): void };
}

export interface PcPlatform {
  /** The host that devices are on. KVM is this one's too if it is a real host. */
  readonly host: Host;
  readonly devices: readonly PcDeviceConfig[];
  /** A host that tells of the DMA of its functions, as modelled ones do: calls the watch, or nobody with null. */
  readonly observeDma?: ((watch: DmaWatch | null) => void) | undefined;
  close(): void;
}

/** What the named module exports. */
export interface PlatformModule {
  /** May throw; what it made until then it gives back. */
  openPlatform(data: unknown, clock: PlatformClock): PcPlatform | Promise<PcPlatform>;
}
