// The plan: who a hot reset hits, who is in the way, whose groups are missing; and the reset once all of that is settled.
import { VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import {
  BRIDGED,
  BRIDGED_FREE,
  BRIDGED_HOST,
  EDU,
  eventFd,
  NVME,
  openDevice,
  testHost,
} from "../../vfio-core/test/fixture.ts";
import { HotResetError, hotReset, hotResetInfo, missingGroups, planHotReset, runHotReset } from "../src/index.ts";
import { registerHotReset } from "../src/model/index.ts";

function host() {
  const made = testHost();
  registerHotReset(made.core);
  return made;
}

function caught(run: () => unknown): HotResetError {
  try {
    run();
  } catch (error) {
    if (error instanceof HotResetError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("pci-hotreset plan", () => {
  it("pci-hotreset: lists everything behind the bridge, bound or not, in bus order", () => {
    const { process, topology } = host();
    const { device } = openDevice(process, BRIDGED);
    const group = topology.get(BRIDGED).group?.id;
    expect(hotResetInfo(device)).toEqual([BRIDGED, BRIDGED_FREE, BRIDGED_HOST].map((bdf) => ({ bdf, group })));
  });

  it("pci-hotreset: a function on a root bus has no hot reset", () => {
    const { process } = host();
    const { device } = openDevice(process, EDU);
    const error = caught(() => planHotReset(process, device));
    expect(error).toMatchObject({ code: "NO_HOT_RESET", errno: 19 });
    expect(error.message).toContain(EDU);
  });

  it("pci-hotreset: a neighbour without vfio-pci blocks, and is named", () => {
    const { process, core } = host();
    const { device, group } = openDevice(process, BRIDGED);
    expect(core.bind(BRIDGED_FREE, "vfio-pci")).toBe(0);
    expect(core.bind(BRIDGED_HOST, "pci-stub")).toBe(0);
    const plan = planHotReset(process, device);
    expect(plan.single).toBe(false);
    expect(plan.blockers.map((each) => [each.bdf, each.driver])).toEqual([[BRIDGED_HOST, "pci-stub"]]);
    const error = caught(() => runHotReset(plan, [group]));
    expect(error.code).toBe("BLOCKED");
    expect(error.message).toContain(`${BRIDGED_HOST} (pci-stub)`);
    // The kernel agrees.
    expect(caught(() => hotReset(device, [group.fd]))).toMatchObject({ code: "REFUSED", errno: 22 });
  });

  it("pci-hotreset: a group that is not held is named before anything is touched", () => {
    const { process } = host();
    const { device, group } = openDevice(process, NVME);
    const plan = planHotReset(process, device);
    expect(missingGroups(plan, [])).toEqual([group.id]);
    expect(caught(() => runHotReset(plan, []))).toMatchObject({ code: "NOT_OWNED", details: { missing: [group.id] } });
  });
});

describe("pci-hotreset proof", () => {
  it("pci-hotreset: several descriptors of a group are one proof, not more than there are functions", () => {
    const { process } = host();
    const { device, group } = openDevice(process, NVME);
    const plan = planHotReset(process, device);
    expect(caught(() => hotReset(device, [group.fd, process.dup(group.fd)]))).toMatchObject({ errno: 22 });
    expect(() => runHotReset(plan, [group, VfioGroup.open(process, group.id, process.dup(group.fd))])).not.toThrow();
  });
});

describe("pci-hotreset effects", () => {
  it("pci-hotreset: registers return to reset values", () => {
    const { process } = host();
    const { device, group } = openDevice(process, NVME);
    device.writeConfig(4, 2, 0x6);
    device.writeRegion(0, 0x14, 4, 0x00460000, 0);
    runHotReset(planHotReset(process, device), [group]);
    const out = new Uint32Array(2);
    device.readRegion(0, 0x14, 4, out);
    expect([out[0], device.readConfig(4, 2)]).toEqual([0, 0x6]);
  });

  it("pci-hotreset: the user's configuration and interrupts stay", () => {
    const { process, core } = host();
    for (const bdf of [BRIDGED_FREE, BRIDGED_HOST]) expect(core.bind(bdf, "vfio-pci")).toBe(0);
    const { device, group } = openDevice(process, BRIDGED);
    const interrupt = eventFd(process);
    device.setIrqs({ index: 0, fds: [interrupt.fd] });
    device.writeConfig(4, 2, 0x6);
    device.writeConfig(0x10, 4, 0x12300000);

    runHotReset(planHotReset(process, device), [group]);

    expect(device.readConfig(4, 2)).toBe(0x6);
    expect(device.readConfig(0x10, 4)).toBe(0x12300000);
    device.writeRegion(0, 0x60, 4, 1, 0);
    expect(interrupt.take()).toBe(1);
  });

  it("pci-hotreset: a held group proves ownership without a container", () => {
    const { process, topology } = host();
    const { device } = openDevice(process, NVME);
    const other = VfioGroup.open(process, topology.get(EDU).group?.id ?? -1);
    // The group of something that is not affected proves nothing.
    expect(caught(() => hotReset(device, [other.fd]))).toMatchObject({ errno: 22 });
  });

  it("pci-hotreset: a device that somebody has locked makes it fail with nothing touched", () => {
    const { process, topology } = host();
    const { device, group } = openDevice(process, NVME);
    const fn = topology.get(NVME);
    fn.locked = true;
    const command = fn.readConfig(4, 2);
    expect(caught(() => hotReset(device, [group.fd]))).toMatchObject({ errno: 11 });
    expect(fn.readConfig(4, 2)).toBe(command);
    fn.locked = false;
    hotReset(device, [group.fd]);
  });

  it("pci-hotreset: brings sleeping members to D0 first", () => {
    const { process } = host();
    const { device, group } = openDevice(process, "0000:02:00.0");
    device.writeConfig(4, 2, 0x2);
    const pm = device.readConfig(0x34, 1);
    device.writeConfig(pm + 4, 2, 3);
    const out = new Uint32Array(2);
    expect(device.readRegion(0, 0, 4, out)).toBe(-5);
    hotReset(device, [group.fd]);
    expect(device.readConfig(pm + 4, 2) & 3).toBe(0);
    expect(device.readRegion(0, 0, 4, out)).toBe(4);
  });
});
