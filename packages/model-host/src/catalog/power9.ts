// "power9": a bare-metal POWER9 server with disks to give away. The NVMe controller in domain 0001 is the one that
// guests get; the one in domain 0000 belongs to the host's own driver and shows the refusal.
// Domains are PHBs; each root port leads to one PE, and the functions behind the bridge of domain 0003 share one.
import type { HostDescription } from "../description.ts";

/** The function that the option `disk` stands for. */
export const POWER9_DISK = "0001:01:00.0";

const MIB = 1024 * 1024;

export const power9: HostDescription = {
  name: "power9",
  arch: "ppc64le",
  realMode: true,
  iommu: { kind: "spapr", platform: "powernv" },
  domains: [
    {
      domain: 0,
      devices: [
        {
          at: "00.0",
          bridge: "root-port",
          driver: "pcieport",
          children: [
            {
              at: "00.0",
              model: "nvme",
              options: { disk: { kind: "memory", size: 16 * MIB }, serial: "host-disk" },
              driver: "nvme",
            },
          ],
        },
      ],
    },
    {
      domain: 1,
      devices: [
        {
          at: "00.0",
          bridge: "root-port",
          driver: "pcieport",
          children: [
            {
              at: "00.0",
              model: "nvme",
              options: { disk: { kind: "memory", size: 64 * MIB }, serial: "guest-disk" },
              driver: "vfio-pci",
            },
          ],
        },
      ],
    },
    {
      domain: 2,
      devices: [
        {
          at: "00.0",
          bridge: "root-port",
          driver: "pcieport",
          children: [{ at: "00.0", model: "edu", options: { dmaBits: 64 }, driver: "vfio-pci" }],
        },
      ],
    },
    {
      domain: 3,
      devices: [
        {
          at: "00.0",
          bridge: "root-port",
          driver: "pcieport",
          children: [
            {
              at: "00.0",
              bridge: "pcie-pci-bridge",
              children: [
                { at: "01.0", model: "edu", options: { dmaBits: 64 }, driver: "vfio-pci" },
                { at: "02.0", model: "edu", options: { dmaBits: 64 } },
              ],
            },
          ],
        },
      ],
    },
  ],
};
