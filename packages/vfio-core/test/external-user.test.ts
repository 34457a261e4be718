// What KVM may ask about VFIO files in present kernels: kind, coherency, group, and the VM that devices hold.
import { describe, expect, it } from "vitest";
import { iommuGroupOf, VfioContainer, VfioGroup } from "../src/index.ts";
import {
  type KvmReference,
  vfioExternalUserIommuId,
  vfioFileEnforcedCoherent,
  vfioFileHasDev,
  vfioFileIommuGroup,
  vfioFileIsGroup,
  vfioFileIsValid,
  vfioFileSetKvm,
  vfioGroupGetExternalUser,
} from "../src/model/index.ts";
import { EDU, NVME, openDevice, type TestHostOptions, testHost } from "./fixture.ts";

function files(options: TestHostOptions = {}) {
  const host = testHost(options);
  const { process } = host;
  const { container, group, device } = openDevice(process, EDU);
  const file = (fd: number) => process.fileOf(fd)!;
  const other = file(process.eventfd(0, 0));
  return {
    ...host,
    container: file(container.fd),
    group: file(group.fd),
    device: file(device.fd),
    other,
    id: group.id,
  };
}

describe("vfio-core external users", () => {
  it("vfio-core: which files are VFIO's depends on the kernel", () => {
    const now = files();
    expect([now.group, now.device, now.container, now.other].map(vfioFileIsValid)).toEqual([true, true, false, false]);
    expect([now.group, now.device].map(vfioFileIsGroup)).toEqual([true, false]);
    const before = files({ profile: "6.1" });
    expect([before.group, before.device].map(vfioFileIsValid)).toEqual([true, false]);
  });

  it("vfio-core: coherency is the IOMMU's ability in 6.12", () => {
    for (const enforcesSnoop of [true, false]) {
      const { group, device, other } = files({ enforcesSnoop });
      expect([group, device, other].map(vfioFileEnforcedCoherent)).toEqual([enforcesSnoop, enforcesSnoop, true]);
    }
  });

  it("vfio-core: coherency is the container's answer in 6.1, and yes without a container", () => {
    const { process } = testHost({ profile: "6.1" });
    const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    const file = process.fileOf(group.fd)!;
    expect(vfioFileEnforcedCoherent(file)).toBe(true);
    group.setContainer(VfioContainer.open(process));
    expect(vfioFileEnforcedCoherent(file)).toBe(false);
  });

  it("vfio-core: a file leads to its IOMMU group and knows its devices", () => {
    const { group, device, topology, core, id } = files();
    expect(vfioFileIommuGroup(group)).toBe(topology.get(EDU).group);
    expect(vfioFileIommuGroup(device)).toBeNull();
    expect(vfioFileHasDev(group, core.device(EDU)!)).toBe(true);
    expect(vfioFileHasDev(group, core.device(NVME)!)).toBe(false);
    expect(vfioExternalUserIommuId(vfioGroupGetExternalUser(group))).toBe(id);
  });

  it("vfio-core: a device takes a VM reference at its first open and keeps it to its last close", () => {
    const { process } = testHost();
    const { group, device } = openDevice(process, EDU);
    let refs = 0;
    const vm: KvmReference = { get: () => refs++, put: () => refs-- };
    const file = process.fileOf(group.fd)!;
    vfioFileSetKvm(file, vm);
    expect(refs, "too late for a device that is open").toBe(0);
    device.close();
    const again = group.device(EDU);
    vfioFileSetKvm(file, null);
    expect(refs).toBe(1);
    again.close();
    expect(refs).toBe(0);
  });

  it("vfio-core: before 6.2 an open device keeps no VM alive", () => {
    const { process } = testHost({ profile: "6.1" });
    const { group, device } = openDevice(process, EDU);
    device.close();
    let refs = 0;
    vfioFileSetKvm(process.fileOf(group.fd)!, { get: () => refs++, put: () => refs-- });
    group.device(EDU);
    expect(refs).toBe(0);
  });
});
