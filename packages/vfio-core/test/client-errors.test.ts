// What a VFIO user is told when something does not work: which thing, why, and what would help.
import { describe, expect, it } from "vitest";
import { iommuGroupOf, requireVfioDriver, VfioContainer, VfioError, VfioGroup } from "../src/index.ts";
import { attach, BRIDGED, BRIDGED_FREE, BRIDGED_HOST, EDU, NVME, openDevice, testHost } from "./fixture.ts";

function caught(run: () => unknown): VfioError {
  try {
    run();
  } catch (error) {
    if (error instanceof VfioError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("vfio-core client messages", () => {
  it("vfio-core: no such device", () => {
    const { process } = testHost();
    const error = caught(() => iommuGroupOf(process, "0000:77:00.0"));
    expect(error).toMatchObject({ code: "NO_DEVICE", details: { bdf: "0000:77:00.0" } });
    expect(error.message).toContain("there is no PCI device 0000:77:00.0");
    expect(error.hint).toContain("lspci");
  });

  it("vfio-core: a device without an IOMMU group", () => {
    const { process, kernel } = testHost();
    kernel.sysfs.remove(`/sys/bus/pci/devices/${EDU}/iommu_group`);
    kernel.sysfs.remove("/sys/kernel/iommu_groups");
    const error = caught(() => iommuGroupOf(process, "00:01.0"));
    expect(error).toMatchObject({ code: "NO_IOMMU_GROUP", details: { bdf: EDU } });
    expect(error.hint).toContain("intel_iommu=on");
  });

  it("vfio-core: a group of which nothing is bound to vfio-pci", () => {
    const { process, core } = testHost();
    const id = iommuGroupOf(process, NVME);
    expect(core.unbind(NVME)).toBe(0);
    const error = caught(() => VfioGroup.open(process, id));
    expect(error).toMatchObject({ code: "NO_GROUP_NODE", errno: 2 });
    expect(error.hint).toContain(`${NVME} (no driver)`);
  });

  it("vfio-core: a device that a host driver holds, or that nothing drives", () => {
    const { process, core } = testHost();
    expect(() => requireVfioDriver(process, NVME)).not.toThrow();
    expect(core.unbind(NVME)).toBe(0);
    const free = caught(() => requireVfioDriver(process, NVME));
    expect(free).toMatchObject({ code: "NOT_BOUND", details: { bdf: NVME } });
    expect(free.hint).toContain(`${NVME}/driver_override`);
    expect(core.bind(NVME, "nvme")).toBe(0);
    const held = caught(() => requireVfioDriver(process, NVME));
    expect(held).toMatchObject({ code: "DEVICE_HELD", details: { bdf: NVME, driver: "nvme" } });
    expect(held.message).toBe(`${NVME} is held by the host driver nvme`);
    expect(held.hint).toContain("driver/unbind");
  });

  it("vfio-core: a group that another process holds", () => {
    const { process, kernel } = testHost();
    const id = iommuGroupOf(process, EDU);
    const first = VfioGroup.open(process, id);
    const other = kernel.spawn();
    const error = caught(() => VfioGroup.open(other, id));
    expect(error).toMatchObject({ code: "GROUP_BUSY", errno: 16, details: { path: `/dev/vfio/${id}` } });
    expect(error.message).toContain("in use");
    first.close();
    VfioGroup.open(other, id).close();
  });

  it("vfio-core: no permission on the node", () => {
    const { process, kernel } = testHost();
    const user = kernel.spawn({ root: false });
    const id = iommuGroupOf(process, EDU);
    const error = caught(() => VfioGroup.open(user, id));
    expect(error).toMatchObject({ code: "PERMISSION", errno: 13 });
    expect(error.message).toBe(
      `no permission to open /dev/vfio/${id}: owner root, group root, mode 0600; this process runs as user 1000`,
    );
    // The container is for everybody.
    VfioContainer.open(user).close();
  });

  it("vfio-core: a host without VFIO", () => {
    const { kernel } = testHost();
    const bare = kernel.spawn();
    Object.assign(bare, { open: () => -2 });
    expect(caught(() => VfioContainer.open(bare))).toMatchObject({ code: "NO_CONTAINER_NODE", errno: 2 });
  });

  it("vfio-core: a descriptor that is no container", () => {
    const { process } = testHost();
    const error = caught(() => VfioContainer.open(process, process.eventfd(0, 0)));
    expect(error.code).toBe("API_VERSION");
    expect(error.hint).toContain("/dev/vfio/vfio");
  });

  it("vfio-core: a group with a member that a host driver holds, naming it", () => {
    const { process, core } = testHost();
    expect(core.bind(BRIDGED_FREE, "pci-stub")).toBe(0);
    expect(core.bind(BRIDGED_HOST, "e1000")).toBe(0);
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, BRIDGED));
    for (const run of [() => group.requireViable(), () => group.setContainer(container)]) {
      const error = caught(run);
      expect(error.code).toBe("GROUP_NOT_VIABLE");
      expect(error.message).toContain(`${BRIDGED_HOST} is bound to e1000`);
      expect(error.message).not.toContain(BRIDGED_FREE);
      expect(error.hint).toContain(BRIDGED_HOST);
    }
  });

  it("vfio-core: an IOMMU type that the host does not have", () => {
    const { process } = testHost();
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    group.setContainer(container);
    const error = caught(() => container.setIommu(7));
    expect(error).toMatchObject({ code: "WRONG_IOMMU_TYPE", errno: 19, details: { type: 7, offered: [1] } });
    expect(error.message).toContain("it offers 1");
  });

  it("vfio-core: attached twice, detached with a device open, a device of another group", () => {
    const { process } = testHost();
    const { container, group, device } = openDevice(process, EDU);
    expect(caught(() => group.setContainer(container)).code).toBe("GROUP_ATTACHED");
    expect(caught(() => group.unsetContainer()).code).toBe("DEVICES_OPEN");
    const other = caught(() => group.device(NVME));
    expect(other).toMatchObject({ code: "DEVICE_NOT_IN_GROUP", errno: 19 });
    expect(other.hint).toContain(EDU);
    device.close();
    group.unsetContainer();
  });

  it("vfio-core: a member that is not bound to vfio-pci", () => {
    const { process } = testHost();
    const { group } = attach(process, BRIDGED);
    const error = caught(() => group.device(BRIDGED_FREE));
    expect(error.message).toContain("it is bound to no driver");
    expect(error.hint).toContain("Bind it to vfio-pci");
  });
});
