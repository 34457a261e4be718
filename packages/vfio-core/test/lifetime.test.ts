// Opens, closes, attaches and mappings in any order: nothing leaks, and nothing is freed under a user.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { iommuGroupOf, VfioContainer, VfioGroup } from "../src/index.ts";
import { vfioGroupGetExternalUser, vfioGroupPutExternalUser } from "../src/model/index.ts";
import { BRIDGED, EDU, FLAT_IOMMU, NVME, openDevice, testHost } from "./fixture.ts";

const DEVICES = [EDU, NVME, BRIDGED];

describe("vfio-core lifetimes", () => {
  it("vfio-core: closing the container first changes nothing while a group is attached", () => {
    const { process, iommu } = testHost();
    const { container, group, device } = openDevice(process, EDU);
    container.close();
    expect(iommu.live.size).toBe(1);
    expect(device.readConfig(0, 2)).toBe(0x1234);
    group.close();
    expect(iommu.live.size).toBe(1);
    expect(process.open(`/dev/vfio/${group.id}`, 2)).toBe(-16);
    device.close();
    expect(iommu.live.size).toBe(0);
    expect(process.open(`/dev/vfio/${group.id}`, 2)).toBeGreaterThanOrEqual(0);
  });

  it("vfio-core: a container goes back to empty with its last group and takes another type", () => {
    const { process, iommu } = testHost();
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    for (let round = 0; round < 3; round++) {
      group.setContainer(container);
      container.setIommu(FLAT_IOMMU);
      expect(iommu.live.size).toBe(1);
      group.unsetContainer();
      expect(iommu.live.size).toBe(0);
    }
  });

  it("vfio-core: a group joining a ready container is attached at once, and refused whole", () => {
    const { process, iommu } = testHost();
    const { container } = openDevice(process, EDU);
    const second = VfioGroup.open(process, iommuGroupOf(process, NVME));
    iommu.refuse = second.id;
    expect(() => second.setContainer(container)).toThrow(/NVME|not viable|cannot join/);
    expect(second.status()).toEqual({ viable: true, containerSet: false });
    iommu.refuse = null;
    second.setContainer(container);
    expect([...iommu.live][0]?.groups.size).toBe(2);
  });

  it("vfio-core: no DMA passes before SET_IOMMU nor after the group left", () => {
    const { process, topology } = testHost();
    const fn = topology.get(EDU);
    const { group, device } = openDevice(process, EDU);
    device.writeConfig(4, 2, 0x6);
    const buffer = new Uint8Array(4096);
    const address = process.mm.virtToPhys(Number(process.addressOf(buffer)));
    const one = Uint8Array.of(7);
    const write = () => fn.device.dma.write(Math.floor(address / 2 ** 32), address >>> 0, one);
    expect(write()).toBe(true);
    expect(buffer[0]).toBe(7);
    device.writeConfig(4, 2, 0x2);
    expect(write()).toBe(false);
    device.writeConfig(4, 2, 0x6);
    device.close();
    group.unsetContainer();
    expect(fn.group?.domain).toBeNull();
    expect(write()).toBe(false);
  });

  it("vfio-core: a process that exits leaves nothing", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(11), { maxLength: 25 }), (actions) => {
        const { kernel, core, iommu } = testHost();
        const user = kernel.spawn({ nofile: 12 });
        play(user, actions);
        user.exit();
        expect(iommu.live.size).toBe(0);
        for (const group of core.groups.values()) {
          expect([group.opened, group.openedFile, group.container, group.containerUsers]).toEqual([
            false,
            null,
            null,
            0,
          ]);
          expect(group.iommuGroup.owner).toBeNull();
        }
        for (const device of core.devices.values()) expect(device.openCount).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  it("vfio-core: an external user counts as a user of the container, and the last one dissolves it", () => {
    const { process, core, iommu } = testHost({ profile: "4.12" });
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    const file = process.fileOf(group.fd)!;
    expect(() => vfioGroupGetExternalUser(file)).toThrow(/no container/);
    group.setContainer(container);
    expect(() => vfioGroupGetExternalUser(file)).toThrow(/no IOMMU/);
    expect(() => vfioGroupGetExternalUser(process.fileOf(container.fd)!)).toThrow(/not a VFIO group/);
    container.setIommu(FLAT_IOMMU);
    const held = vfioGroupGetExternalUser(file);
    expect(held.containerUsers).toBe(2);
    expect(() => group.unsetContainer()).toThrow(/a device of it is open/);
    group.close();
    container.close();
    expect(iommu.live.size).toBe(1);
    expect(process.open(`/dev/vfio/${group.id}`, 2)).toBe(-16);
    vfioGroupPutExternalUser(held);
    expect(iommu.live.size).toBe(0);
    expect(core.groups.get(group.id)?.container).toBeNull();
  });
});

/** Runs calls that a user may make in any order; refusals are fine, anything else thrown is not. */
function play(user: ReturnType<ReturnType<typeof testHost>["kernel"]["spawn"]>, actions: number[]): void {
  const containers: VfioContainer[] = [];
  const groups: VfioGroup[] = [];
  const devices: { close(): void }[] = [];
  const last = <T>(list: T[]): T | undefined => list.at(-1);
  const steps: (() => void)[] = [
    () => containers.push(VfioContainer.open(user)),
    ...DEVICES.map((bdf) => () => groups.push(VfioGroup.open(user, iommuGroupOf(user, bdf)))),
    () => {
      const container = last(containers);
      if (container) last(groups)?.setContainer(container);
    },
    () => last(containers)?.setIommu(FLAT_IOMMU),
    () => last(groups)?.unsetContainer(),
    () => {
      for (const bdf of DEVICES) {
        const group = last(groups);
        if (group && group.id === iommuGroupOf(user, bdf)) devices.push(group.device(bdf));
      }
    },
    () => void user.mmap({ length: 4096, prot: 3, flags: 1, fd: (last(devices) as { fd?: number })?.fd ?? -1 }),
    () => containers.pop()?.close(),
    () => groups.pop()?.close(),
    () => devices.pop()?.close(),
  ];
  for (const action of actions) {
    try {
      steps[action]?.();
    } catch (error) {
      expect(error, String(error)).toHaveProperty("code");
    }
  }
}
