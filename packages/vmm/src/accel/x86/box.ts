// A machine pc with devices, functions of a host or models. The thread of a machine makes one; so does a test, on a modelled
// host, whose KVM has no CPUs. Invariant: as in BareBox, close() gives everything back, and so does a constructor that throws.
import type { Host } from "@minivmm/host";
import { type PcCheckOptions, type PcDeviceConfig, PcDevices } from "../../machines/pc/devices.ts";
import type { WatchDescriptor } from "../../pci/host-requests.ts";
import { BareBox, type BareBoxOptions, type Sockets } from "./bare-box.ts";

export interface PcBoxOptions extends BareBoxOptions {
  readonly deviceHost: Host;
  readonly devices: readonly PcDeviceConfig[];
  readonly watch: WatchDescriptor;
  /** Runs something a few milliseconds later. */
  readonly later?: (run: () => void) => void;
  /** Looks at what devices do with memory. Default: nobody does. */
  readonly check?: Omit<PcCheckOptions, "pc"> | undefined;
}

export class PcBox extends BareBox {
  /** Throws VmmError, KvmError, VfioError. */
  constructor(options: PcBoxOptions) {
    const { deviceHost: host, devices, watch, later, check: asked } = options;
    super(options, (sockets) => {
      const check = asked && { ...asked, pc: () => positionOf(sockets) };
      return new PcDevices({ ...sockets, host, devices, watch, later, check });
    });
  }
}

/** A modelled KVM has no CPUs, and nothing has run before they are made. */
function positionOf({ kvm, cpu }: Sockets): bigint | null {
  return kvm.vcpus[cpu()]?.getRegs().rip ?? null;
}
