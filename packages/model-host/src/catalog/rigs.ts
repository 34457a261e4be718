// The machines whose kernels were recorded: QEMU 7.2's powernv8, 9 and 10, and a pseries guest that is itself a host (L1).
// They differ from hardware where the recordings do: a bad DMA freezes nothing on powernv, the pseries has no EEH.
// The network card and the USB controller are stand-ins without function.
import type { FunctionDescription, HostDescription } from "../description.ts";

/** The functions that the option `disk` stands for. */
export const POWERNV9_DISK = "0000:01:00.0";
export const PSERIES_L1_DISK = "0000:00:00.0";

const disk = { kind: "memory", size: 64 * 1024 * 1024 };
const nvme: FunctionDescription = { at: "00.0", model: "nvme", options: { disk }, driver: "vfio-pci" };
const e1000e: FunctionDescription = { at: "00.0", model: "e1000e", driver: "vfio-pci" };
const drivers = [{ name: "xhci_hcd", class: 0x0c0330 }];

function edu(at: string): FunctionDescription {
  return { at, model: "edu", options: { dmaBits: 64 }, driver: "vfio-pci" };
}

function rootPort(...children: FunctionDescription[]): FunctionDescription {
  return { at: "00.0", bridge: "root-port", driver: "pcieport", children };
}

export const powernv9: HostDescription = {
  name: "powernv9",
  arch: "ppc64le",
  iommu: { kind: "spapr", platform: "powernv", freeze: false },
  drivers,
  domains: [
    { domain: 0, devices: [rootPort(nvme)] },
    { domain: 1, devices: [rootPort(e1000e)] },
    { domain: 2, devices: [rootPort(edu("00.0"))] },
    {
      domain: 3,
      devices: [
        rootPort({
          at: "00.0",
          bridge: "pcie-pci-bridge",
          children: [edu("01.0"), edu("02.0"), { at: "03.0", model: "xhci" }],
        }),
      ],
    },
  ],
};

/** As powernv9, with another processor. */
export const powernv10: HostDescription = { ...powernv9, name: "powernv10", cpu: "power10" };

/** Three host bridges, the last with four devices behind a bridge to conventional PCI. */
export const powernv8: HostDescription = {
  ...powernv9,
  name: "powernv8",
  cpu: "power8",
  iommu: { kind: "spapr", platform: "powernv", freeze: false, pageShifts: [12, 16, 24, 28] },
  domains: [
    { domain: 0, devices: [rootPort(nvme)] },
    { domain: 1, devices: [rootPort(e1000e)] },
    {
      domain: 2,
      devices: [
        rootPort({
          at: "00.0",
          bridge: "pcie-pci-bridge",
          children: [edu("01.0"), edu("02.0"), edu("03.0"), { at: "04.0", model: "xhci" }],
        }),
      ],
    },
  ],
};

export const pseriesL1: HostDescription = {
  name: "pseries-l1",
  arch: "ppc64le",
  iommu: { kind: "spapr", platform: "pseries" },
  drivers,
  domains: [
    { domain: 0, devices: [nvme] },
    { domain: 1, devices: [e1000e] },
    { domain: 2, devices: [edu("00.0")] },
    { domain: 3, devices: [edu("00.0"), edu("01.0"), { at: "02.0", model: "xhci" }] },
  ],
};
