// A machine pc with devices, functions of a host or models. The thread of a machine makes one; so does a test, on a modelled
// host, whose KVM has no CPUs. Invariant: as in BareBox, close() gives everything back, and so does a constructor that throws.
import type { Host } from "@minivmm/host";
import { type PcDeviceConfig, PcDevices } from "../../machines/pc/devices.ts";
import type { WatchDescriptor } from "../../pci/host-requests.ts";
import { BareBox, type BareBoxOptions } from "./bare-box.ts";

export interface PcBoxOptions extends BareBoxOptions {
  readonly deviceHost: Host;
  readonly devices: readonly PcDeviceConfig[];
  readonly watch: WatchDescriptor;
}

export class PcBox extends BareBox {
  /** Throws VmmError, KvmError, VfioError. */
  constructor(options: PcBoxOptions) {
    const { deviceHost: host, devices, watch } = options;
    super(options, (sockets) => new PcDevices({ ...sockets, host, devices, watch }));
  }
}
