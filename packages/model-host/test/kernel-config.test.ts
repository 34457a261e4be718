// Kernels that are built otherwise than Debian's: iommufd, device nodes, VFIO without an IOMMU, by description alone.
import { Iommufd, VfioCdev, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { type HostDescription, modelHost } from "../src/index.ts";

const BDF = "0000:00:01.0";

function description(more: Partial<HostDescription>): HostDescription {
  return {
    name: "a host",
    arch: "x86_64",
    iommu: { kind: "type1", addressWidth: 39 },
    domains: [{ domain: 0, devices: [{ at: "01.0", model: "edu", driver: "vfio-pci" }] }],
    ...more,
  };
}

describe("model-host kernel configuration", () => {
  it("is Debian's when nothing is said", () => {
    using host = modelHost(description({}));
    const process = host.spawn();
    expect(process.readdir("/dev/vfio")).toEqual(["0", "vfio"]);
    expect(process.exists("/dev/iommu")).toBe(false);
    expect(process.exists("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode")).toBe(false);
  });

  it("iommufd drives the described hardware", () => {
    using host = modelHost(description({ kernelConfig: { iommufd: true, deviceCdev: true } }));
    const process = host.spawn();
    using iommufd = Iommufd.open(process);
    using device = VfioCdev.open(process, BDF);
    device.bind(iommufd);
    const space = iommufd.allocIoas();
    device.attach(space);
    expect(space.ranges().ranges.at(-1)?.end).toBe(2n ** 39n - 1n);
  });

  it("iommufd can serve the container", () => {
    using host = modelHost(description({ kernelConfig: { iommufd: true, container: "iommufd" } }));
    const process = host.spawn();
    using container = VfioContainer.open(process);
    using group = VfioGroup.open(process, 0);
    group.setContainer(container);
    container.setIommu(1);
    container.setIommu(3);
    using device = group.device(BDF);
    expect(device.info().regions).toBe(9);
  });

  it("a host without an IOMMU gives devices away all the same, if it must", () => {
    const devices = description({ iommu: { kind: "none" }, kernelConfig: { noiommu: "on" } });
    using host = modelHost(devices);
    const process = host.spawn({ capabilities: ["SYS_RAWIO"] });
    expect(process.readdir("/dev/vfio")).toEqual(["noiommu-0", "vfio"]);
    using container = VfioContainer.open(process);
    using group = VfioGroup.open(process, 0);
    group.setContainer(container);
    container.setIommu(8);
    using device = group.device(BDF);
    expect(device.info().irqs).toBe(5);
  });

  it("that nobody could build is refused", () => {
    expect(() => modelHost(description({ kernelConfig: { deviceCdev: true } }))).toThrow(/need iommufd/);
    expect(() => modelHost(description({ profile: "6.1", kernelConfig: { iommufd: true } }))).toThrow(/has no iommufd/);
  });
});
