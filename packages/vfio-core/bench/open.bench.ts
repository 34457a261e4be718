// What the whole way to a device costs on the modelled host, and an interrupt's way from the device to user space.
import { bench, describe } from "vitest";
import { iommuGroupOf, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_TYPE1v2_IOMMU, VfioContainer, VfioGroup } from "../src/index.ts";
import { NVME } from "../test/fixture.ts";
import { type1Parts } from "../test/type1-fixture.ts";

function open(process: ReturnType<typeof type1Parts>["process"]) {
  const container = VfioContainer.open(process);
  const group = VfioGroup.open(process, iommuGroupOf(process, NVME));
  group.setContainer(container);
  container.setIommu(VFIO_TYPE1v2_IOMMU);
  return { container, group, device: group.device(NVME) };
}

describe("vfio-core opening", () => {
  const { process } = type1Parts();
  bench("open container, group and device, close all", () => {
    const { container, group, device } = open(process);
    device.close();
    group.close();
    container.close();
  });
});

describe("vfio-core MSI-X", () => {
  const { process, topology } = type1Parts();
  const { device } = open(process);
  const fd = process.eventfd(0, 0);
  device.setIrqs({ index: VFIO_PCI_MSIX_IRQ_INDEX, fds: [fd] });
  const count = new Uint8Array(8);
  const { irq } = topology.get(NVME).device;
  bench("1000 messages of the device, each read from its eventfd", () => {
    for (let i = 0; i < 1000; i++) {
      irq.msi(0, 0, 0, 0);
      process.read(fd, count);
    }
  });
  bench("trigger a vector by SET_IRQS and read its eventfd", () => {
    device.triggerIrqs(VFIO_PCI_MSIX_IRQ_INDEX);
    process.read(fd, count);
  });
});
