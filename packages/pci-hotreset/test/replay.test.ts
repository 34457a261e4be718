// Recorded hot resets of real 6.12 and 6.1 kernels, played on the model.
import { describe, expect, it } from "vitest";
import { COMMANDS, Player } from "../../vfio-core/test/replay/player.ts";
import { recordedCases } from "../../vfio-core/test/replay/recordings.ts";
import { rig } from "../../vfio-core/test/replay/rig.ts";
import {
  hotResetIoctls,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from "../src/index.ts";
import { registerHotReset } from "../src/model/index.ts";

const ioctls = hotResetIoctls("x86_64");
COMMANDS.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = {
  request: ioctls.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  struct: vfio_pci_hot_reset_info,
  tail(bytes, { count }, ret) {
    if (ret !== 0) return {};
    const at = (i: number) => vfio_pci_hot_reset_info.size + i * vfio_pci_dependent_device.size;
    return { devices: Array.from({ length: Number(count) }, (_, i) => vfio_pci_dependent_device.decode(bytes, at(i))) };
  },
};
COMMANDS.VFIO_DEVICE_PCI_HOT_RESET = { request: ioctls.VFIO_DEVICE_PCI_HOT_RESET, struct: vfio_pci_hot_reset };

describe.each(["6.12", "6.1"] as const)("pci-hotreset recordings of Linux %s", (kernel) => {
  const cases = recordedCases(new URL(`./recordings/x86-${kernel}.jsonl`, import.meta.url));
  it.each(cases.map((each) => [each.name, each] as const))("pci-hotreset: %s", (_name, each) => {
    const host = rig(kernel);
    registerHotReset(host.core);
    const player = new Player(host);
    const differences: string[] = [];
    for (const step of each.steps) {
      const difference = player.play(step);
      if (difference) differences.push(`step ${step.step} ${JSON.stringify(step.do).slice(0, 160)}: ${difference}`);
    }
    expect(differences, differences.join("\n")).toEqual([]);
  });
});
