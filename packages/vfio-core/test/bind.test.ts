// Binding drivers through sysfs, and what that means for groups: viability, refusals, nodes that come and go.
import { describe, expect, it } from "vitest";
import { VfioGroup } from "../src/index.ts";
import { attach, BRIDGED, BRIDGED_FREE, BRIDGED_HOST, EDU, eventFd, NVME, openDevice, testHost } from "./fixture.ts";

const BUS = "/sys/bus/pci";

describe("vfio-core driver model", () => {
  it("vfio-core: driver_override and drivers_probe, as a user does it", () => {
    const { process, topology } = testHost();
    const override = `${BUS}/devices/${BRIDGED_FREE}/driver_override`;
    expect(process.writeFile(override, "vfio-pci\n")).toBe(9);
    expect(process.writeFile(`${BUS}/drivers_probe`, BRIDGED_FREE)).toBe(BRIDGED_FREE.length);
    expect(topology.get(BRIDGED_FREE).driver).toBe("vfio-pci");
    expect(process.readlink(`${BUS}/devices/${BRIDGED_FREE}/driver`)).toBe(`${BUS}/drivers/vfio-pci`);
    expect(process.writeFile(`${BUS}/drivers/vfio-pci/unbind`, BRIDGED_FREE)).toBeGreaterThan(0);
    expect(process.writeFile(`${BUS}/drivers/vfio-pci/unbind`, BRIDGED_FREE)).toBe(-19);
    expect(process.writeFile(override, "\n")).toBe(1);
    expect(process.writeFile(`${BUS}/drivers/vfio-pci/bind`, BRIDGED_FREE)).toBe(-19);
  });

  it("vfio-core: new_id binds every unbound match, remove_id does not unbind", () => {
    const { process, topology } = testHost();
    const ids = `${BUS}/drivers/vfio-pci`;
    expect(process.writeFile(`${ids}/new_id`, "8086 100e")).toBe(9);
    expect([BRIDGED_FREE, BRIDGED_HOST].map((bdf) => topology.get(bdf).driver)).toEqual(["vfio-pci", "vfio-pci"]);
    expect(process.writeFile(`${ids}/new_id`, "8086 100e")).toBe(-17);
    expect(process.writeFile(`${ids}/remove_id`, "8086 100e")).toBe(9);
    expect(topology.get(BRIDGED_FREE).driver).toBe("vfio-pci");
  });

  it("vfio-core: a bridge cannot be bound, nor a bound function again", () => {
    const { core } = testHost();
    expect(core.bind("0000:03:00.0", "vfio-pci")).toBe(-22);
    expect(core.bind(EDU, "vfio-pci")).toBe(-16);
  });

  it("vfio-core: an ordinary driver cannot have a member of a group that a user owns", () => {
    const { process, core } = testHost();
    const { group } = attach(process, BRIDGED);
    expect(core.bind(BRIDGED_HOST, "e1000")).toBe(-16);
    expect(core.bind(BRIDGED_HOST, "pci-stub")).toBe(0);
    expect(core.bind(BRIDGED_FREE, "vfio-pci")).toBe(0);
    group.device(BRIDGED_FREE).close();
    group.unsetContainer();
    expect(core.unbind(BRIDGED_HOST)).toBe(0);
    expect(core.bind(BRIDGED_HOST, "e1000")).toBe(0);
    expect(group.status()).toEqual({ viable: false, containerSet: false });
  });

  it("vfio-core: the node goes with the last device, the open group is a husk", () => {
    const { process, core, iommu } = testHost();
    const { group } = attach(process, EDU);
    expect(core.unbind(EDU)).toBe(0);
    expect(iommu.live.size).toBe(0);
    expect(process.open(`/dev/vfio/${group.id}`, 2)).toBe(-2);
    expect(() => group.status()).toThrow(/ENODEV/);
    expect(() => group.unsetContainer()).toThrow(/EINVAL/);
    expect(core.bind(EDU, "vfio-pci")).toBe(0);
    VfioGroup.open(process, group.id).close();
  });

  it("vfio-core: unbinding an open device asks for it every ten seconds and completes at its last close", () => {
    const { process, core, clock, topology } = testHost();
    const { device, group } = openDevice(process, NVME);
    const request = eventFd(process);
    device.setIrqs({ index: 4, fds: [request.fd] });
    expect(core.unbind(NVME)).toBe(0);
    expect(request.take()).toBe(1);
    clock.advance(30_000);
    expect(request.take()).toBe(3);
    // A second writer waits for the device's lock: the user is not asked twice as often.
    expect(core.unbind(NVME)).toBe(0);
    clock.advance(30_000);
    expect(request.take()).toBe(3);
    expect(topology.get(NVME).driver).toBe("vfio-pci");
    expect(() => group.device(NVME)).toThrow(/cannot be opened/);
    device.close();
    expect(topology.get(NVME).driver).toBeNull();
    clock.advance(60_000);
    expect(request.take()).toBe(0);
  });

  it("vfio-core: without a request eventfd the kernel log says what it waits for", () => {
    const { process, core, kernel } = testHost();
    openDevice(process, NVME);
    core.unbind(NVME);
    expect(kernel.log.at(-1)).toContain("blocked until released by user");
  });
});
