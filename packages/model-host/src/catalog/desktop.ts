// "desktop": an x86 machine with a VT-d-like IOMMU. Each slot is a group of its own, except behind the bridge to
// conventional PCI, where three functions share one. The disk behind the second root port is for guests.
import type { HostDescription } from "../description.ts";

/** The function that the option `disk` stands for. */
export const DESKTOP_DISK = "0000:02:00.0";

const MIB = 1024 * 1024;

export const desktop: HostDescription = {
  name: "desktop",
  arch: "x86_64",
  iommu: { kind: "type1" },
  domains: [
    {
      domain: 0,
      devices: [
        {
          at: "01.0",
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
        {
          at: "02.0",
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
        {
          at: "03.0",
          bridge: "root-port",
          driver: "pcieport",
          children: [
            {
              at: "00.0",
              bridge: "pcie-pci-bridge",
              children: [
                { at: "01.0", model: "edu", options: { dmaBits: 64 }, driver: "vfio-pci" },
                { at: "02.0", model: "edu", options: { dmaBits: 64 }, driver: "vfio-pci" },
                { at: "03.0", model: "edu", options: { dmaBits: 64 } },
              ],
            },
          ],
        },
        { at: "05.0", model: "edu", options: { dmaBits: 64 }, driver: "vfio-pci" },
      ],
    },
  ],
};
