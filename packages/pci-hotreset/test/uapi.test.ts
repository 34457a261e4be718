// Numbers and layouts of the ABI, against values read off real headers.
import { describe, expect, it } from "vitest";
import {
  hotResetIoctls,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from "../src/index.ts";

describe("pci-hotreset uapi", () => {
  it("pci-hotreset: request numbers differ by architecture", () => {
    expect(hotResetIoctls("x86_64")).toEqual({
      VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 0x3b70,
      VFIO_DEVICE_PCI_HOT_RESET: 0x3b71,
    });
    expect(hotResetIoctls("ppc64le").VFIO_DEVICE_PCI_HOT_RESET).toBe(0x20003b71);
  });

  it("pci-hotreset: structs have the sizes and offsets of the C ones", () => {
    expect([vfio_pci_hot_reset_info.size, vfio_pci_hot_reset.size, vfio_pci_dependent_device.size]).toEqual([
      12, 12, 8,
    ]);
    expect(vfio_pci_dependent_device.offsets).toEqual({ group_id: 0, segment: 4, bus: 6, devfn: 7 });
  });
});
