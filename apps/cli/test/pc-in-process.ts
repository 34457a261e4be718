// What the thread of a machine pc does until its CPUs would start, in the thread of a test: it opens the platform that it
// was told of, and takes the devices, with the KVM of their modelled host. What it throws has crossed threads as it would.
import type { PcSummary, PcVmConfig, Vm } from "@minivmm/vmm";
import { PcBox } from "../../../packages/vmm/src/accel/x86/box.ts";
import { packError, unpackError } from "../../../packages/vmm/src/accel/x86/error-transport.ts";
import { PcRam } from "../../../packages/vmm/src/machines/pc/ram.ts";
import { allocateRam } from "../../../packages/vmm/src/machines/pc/shared-ram.ts";
import { Timeline } from "../../../packages/vmm/src/summary.ts";
import { openPlatform } from "../src/pc/platform.ts";

const clock = {
  now: () => performance.now(),
  after(): { cancel(): void } {
    throw new Error("no device of these tests runs");
  },
};

/** In place of createPcVm. Always rejects, at the latest because there is no CPU. */
export async function takeDevices({ platform, memoryBytes, console }: PcVmConfig): Promise<Vm<PcSummary>> {
  try {
    const { host, devices, close } = await openPlatform(platform.data, clock);
    try {
      new PcBox({
        kvmHost: host,
        deviceHost: host,
        devices,
        ram: new PcRam(allocateRam(memoryBytes)),
        cpus: 1,
        console,
        timeline: new Timeline(() => 0),
        watch: (fd, onReadable) => host.watch(fd, onReadable),
      }).close();
    } finally {
      close();
    }
  } catch (error) {
    throw unpackError(structuredClone(packError(error)));
  }
  throw new Error("the devices were taken");
}
