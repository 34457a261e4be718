// The flow of the kernel's VFIO document on a modelled host, on both architectures: container, group, device, interrupt.
import { describe, expect, it } from "vitest";
import {
  iommuGroupOf,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  VfioGroup,
} from "../src/index.ts";
import { EDU, eventFd, FLAT_IOMMU, testHost } from "./fixture.ts";

describe.each(["x86_64", "ppc64le"] as const)("vfio-core documented flow on %s", (arch) => {
  it("vfio-core: goes from the container to an interrupt and back", () => {
    const { process, iommu, core } = testHost({ arch });
    const container = VfioContainer.open(process);
    expect(container.apiVersion()).toBe(0);
    expect(container.iommuTypes()).toEqual([FLAT_IOMMU]);
    expect(container.checkExtension(VFIO_TYPE1v2_IOMMU)).toBe(0);

    const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    expect(group.status()).toEqual({ viable: true, containerSet: false });
    group.setContainer(container);
    container.setIommu(FLAT_IOMMU);
    expect(group.status()).toEqual({ viable: true, containerSet: true });

    const device = group.device(EDU);
    expect(device.info()).toMatchObject({ regions: 9, irqs: 5 });
    expect(device.info().flags & VFIO_DEVICE_FLAGS_PCI).toBe(VFIO_DEVICE_FLAGS_PCI);
    expect(device.region(VFIO_PCI_CONFIG_REGION_INDEX).size).toBe(256);
    expect(device.readConfig(0, 4)).toBe(0x11e81234);

    const out = new Uint32Array(2);
    device.readRegion(0, 0, 4, out);
    expect(out[0]).toBe(0x010000ed);

    const msi = eventFd(process);
    expect(device.setIrqs({ index: VFIO_PCI_MSI_IRQ_INDEX, fds: [msi.fd] })).toBe(0);
    device.writeConfig(4, 2, 0x6);
    device.writeRegion(0, 0x60, 4, 1, 0);
    expect(msi.take()).toBe(1);

    device.close();
    group.unsetContainer();
    group.close();
    container.close();
    expect(iommu.live.size).toBe(0);
    expect(core.groups.get(group.id)?.opened).toBe(false);
  });
});
