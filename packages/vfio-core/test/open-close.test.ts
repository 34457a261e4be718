// First open and last close: what is reset, what is kept, what is undone when the open fails, and idle bus resets.
import { describe, expect, it } from "vitest";
import { VFIO_DEVICE_FLAGS_RESET } from "../src/index.ts";
import { BRIDGED, BRIDGED_FREE, BRIDGED_HOST, EDU, eventFd, NVME, openDevice, PASSIVE, testHost } from "./fixture.ts";

describe("vfio-core first open and last close", () => {
  it("vfio-core: opens with bus mastering off and decode on, whatever the last user left", () => {
    const { process } = testHost();
    const { device, group } = openDevice(process, EDU);
    expect(device.readConfig(4, 2) & 7).toBe(2);
    device.writeConfig(4, 2, 0x6);
    device.writeConfig(0x10, 4, 0x12300000);
    device.close();
    const again = group.device(EDU);
    expect(again.readConfig(4, 2) & 7).toBe(2);
    expect(again.readConfig(0x10, 4)).not.toBe(0x12300000);
  });

  it("vfio-core: two descriptors share the device; only the last close ends it", () => {
    const { process } = testHost();
    const { device, group } = openDevice(process, EDU);
    const second = group.device(EDU);
    const event = eventFd(process);
    device.writeConfig(4, 2, 0x2);
    device.setIrqs({ index: 0, fds: [event.fd] });
    device.close();
    second.writeRegion(0, 0x60, 4, 1, 0);
    expect(event.take()).toBe(1);
  });

  it("vfio-core: the RESET flag is what a real trial reset at open said", () => {
    const { process } = testHost();
    const flags = (bdf: string) => openDevice(process, bdf).device.info().flags & VFIO_DEVICE_FLAGS_RESET;
    expect([EDU, NVME, PASSIVE].map(flags)).toEqual([0, 1, 1]);
  });

  it("vfio-core: DEVICE_RESET clears registers and keeps what the user set up", () => {
    const { process } = testHost();
    const { device } = openDevice(process, PASSIVE);
    device.writeConfig(4, 2, 0x6);
    device.writeConfig(0x10, 4, 0x12300000);
    device.writeRegion(0, 0, 4, 0x55, 0);
    device.reset();
    const out = new Uint32Array(2);
    device.readRegion(0, 0, 4, out);
    expect([out[0], device.readConfig(4, 2) & 7, device.readConfig(0x10, 4)]).toEqual([0, 6, 0x12300000]);
    expect(() => openDevice(process, EDU).device.reset()).toThrow(/cannot be reset alone.*EINVAL/);
  });

  it("vfio-core: a locked function makes the open fail with EAGAIN and nothing held", () => {
    const { process, topology, core } = testHost();
    const { group, device } = openDevice(process, PASSIVE);
    device.close();
    topology.get(PASSIVE).locked = true;
    expect(() => group.device(PASSIVE)).toThrow(/EAGAIN/);
    expect(core.groups.get(group.id)?.containerUsers).toBe(1);
    topology.get(PASSIVE).locked = false;
    group.device(PASSIVE).close();
    group.unsetContainer();
  });

  it("vfio-core: a full descriptor table comes before the state of the group, a wrong name before that", () => {
    const { kernel, topology } = testHost();
    const user = kernel.spawn({ nofile: 1 });
    const fd = user.open(`/dev/vfio/${topology.get(EDU).group?.id}`, 2);
    const name = (text: string) => user.ioctl(fd, 0x3b6a, new TextEncoder().encode(`${text}\0`));
    expect([name("nonsense"), name(EDU)]).toEqual([-19, -24]);
    user.setrlimit("nofile", { soft: 1, hard: 1 });
    const roomy = kernel.spawn();
    const group = roomy.open(`/dev/vfio/${topology.get(NVME).group?.id}`, 2);
    expect(roomy.ioctl(group, 0x3b6a, new TextEncoder().encode(`${NVME}\0`))).toBe(-22);
  });

  it("vfio-core: D3hot blocks memory, and leaving it brings the configuration back", () => {
    const { process, topology } = testHost();
    const { device } = openDevice(process, PASSIVE);
    device.writeConfig(4, 2, 0x6);
    const mapping = device.mapRegion(0);
    const pm = topology.get(PASSIVE).config.findCapability(1) + 4;
    const out = new Uint32Array(2);
    device.writeConfig(pm, 2, 3);
    expect(device.readRegion(0, 0, 4, out)).toBe(-5);
    expect(() => mapping.load(0, 4)).toThrow(/SIGBUS/);
    expect(device.readConfig(pm, 2) & 3).toBe(3);
    device.writeConfig(pm, 2, 0);
    expect(device.readRegion(0, 0, 4, out)).toBe(4);
    expect(device.readConfig(4, 2) & 7).toBe(6);
  });
});

describe("vfio-core idle bus reset", () => {
  const value = (device: ReturnType<typeof openDevice>["device"]) => {
    const out = new Uint32Array(2);
    device.writeConfig(4, 2, 2);
    device.readRegion(0, 0, 4, out);
    return out[0];
  };
  const mark = (device: ReturnType<typeof openDevice>["device"]) => {
    device.writeConfig(4, 2, 2);
    device.writeRegion(0, 0, 4, 0x77, 0);
  };

  it("vfio-core: happens at the last close on a bus that is vfio-pci's alone", () => {
    const { process, core } = testHost();
    for (const bdf of [BRIDGED_FREE, BRIDGED_HOST]) core.bind(bdf, "vfio-pci");
    const { group, device: first } = openDevice(process, BRIDGED);
    const device = group.device(BRIDGED_FREE);
    mark(device);
    device.close();
    let again = group.device(BRIDGED_FREE);
    expect(value(again), "another function is open").toBe(0x77);
    again.close();
    first.close();
    again = group.device(BRIDGED_FREE);
    expect(value(again), "nobody was left").toBe(0);
  });

  it("vfio-core: does not happen while a neighbour is not bound to vfio-pci", () => {
    const { process, core } = testHost();
    core.bind(BRIDGED_FREE, "vfio-pci");
    const { group, device } = openDevice(process, BRIDGED_FREE);
    mark(device);
    device.close();
    expect(value(group.device(BRIDGED_FREE))).toBe(0x77);
  });
});
