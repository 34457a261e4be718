import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, EMFILE, ENOENT, ENXIO } from "@minivmm/host";
import { KVM_DEV_TYPE_VFIO } from "@minivmm/kvm";
import { VfioContainer } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { KvmDeviceError, KvmVfioDevice, kvm_vfio_spapr_tce } from "../src/index.ts";
import { IOMMU, testHost } from "./fixture.ts";

const errno = (errno: number): object => expect.objectContaining({ errno });

describe("kvm-device: creation", () => {
  it("makes one device for each VM, and a new one when that is closed", () => {
    const { newVm } = testHost();
    const { vm } = newVm();
    expect(vm.supportsDevice(KVM_DEV_TYPE_VFIO)).toBe(true);
    const device = KvmVfioDevice.create(vm);
    expect(() => KvmVfioDevice.create(vm)).toThrow(errno(EBUSY));
    expect(() => KvmVfioDevice.create(vm)).toThrow("the VM has a KVM-VFIO device already");
    KvmVfioDevice.create(newVm().vm);
    device.close();
    expect(() => KvmVfioDevice.create(vm)).not.toThrow();
  });

  it("knows its attributes and nothing else", () => {
    const { vm } = testHost().newVm();
    const raw = vm.createDevice(KVM_DEV_TYPE_VFIO);
    const known = (group: number, attr: number): boolean => raw.hasAttribute({ group, attr });
    expect([known(1, 1), known(1, 2), known(1, 3), known(1, 0), known(1, 4), known(0, 1), known(2, 1)]).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
    expect(raw.trySetAttribute({ group: 2, attr: 1 })).toBe(-ENXIO);
    expect(raw.trySetAttribute({ group: 1, attr: 3 })).toBe(-ENXIO);
    expect(raw.trySetAttribute({ group: 1, attr: 1 })).toBe(-EFAULT);
  });
});

describe("kvm-device: registration", () => {
  it("refuses in the kernel's order and says why", () => {
    const { process, newVm, open, attach, groups } = testHost();
    const { vm, model } = newVm();
    const device = KvmVfioDevice.create(vm);
    const group = open(groups.a);
    const container = attach(group);
    expect(() => device.add(-1)).toThrow(errno(EBADF));
    expect(() => device.add(container.fd)).toThrow(errno(EINVAL));
    expect(() => device.remove(group.fd)).toThrow(errno(ENOENT));
    expect(() => device.remove(container.fd)).toThrow(errno(ENOENT));
    device.add(group.fd);
    expect(() => device.add(group.fd)).toThrow(errno(EEXIST));
    expect(() => device.add(process.dup(group.fd))).toThrow(KvmDeviceError);
    expect(model.assignedDeviceCount).toBe(1);
    device.remove(process.dup(group.fd));
    expect(model.assignedDeviceCount).toBe(0);
  });

  it("takes groups without a container, and devices beside their group", () => {
    const { core, newVm, open, attach, groups, deviceOf } = testHost();
    const { vm, model } = newVm();
    const device = KvmVfioDevice.create(vm);
    const group = open(groups.a);
    device.add(group.fd);
    attach(group);
    const name = core.topology.functions[0]?.name ?? "";
    device.add(group.device(name).fd);
    expect(deviceOf(model)?.size).toBe(2);
  });

  it("holds the group's file, so that its number stays busy until the device goes", () => {
    const { newVm, open, groups } = testHost();
    const device = KvmVfioDevice.create(newVm().vm);
    const group = open(groups.a);
    device.add(group.fd);
    group.close();
    expect(() => open(groups.a)).toThrow(errno(EBUSY));
    device.close();
    expect(() => open(groups.a)).not.toThrow();
  });

  it("lets the container be taken away meanwhile (no user count)", () => {
    const { newVm, open, attach, groups } = testHost();
    const device = KvmVfioDevice.create(newVm().vm);
    const group = open(groups.a);
    attach(group);
    device.add(group.fd);
    expect(() => group.unsetContainer()).not.toThrow();
  });

  it("has the last VM win when two register one group", () => {
    const { core, newVm, open, groups } = testHost();
    const [one, two] = [newVm(), newVm()];
    const group = open(groups.a);
    KvmVfioDevice.create(one.vm).add(group.fd);
    const second = KvmVfioDevice.create(two.vm);
    second.add(group.fd);
    expect(core.groups.get(groups.a)?.kvm).toBe(two.model.file);
    second.close();
    expect(core.groups.get(groups.a)?.kvm).toBeNull();
  });
});

describe("kvm-device: coherency", () => {
  it("counts a VM as non-coherent while something registered does not snoop", () => {
    const { newVm, open, groups } = testHost({ coherent: false });
    const { vm, model } = newVm();
    const device = KvmVfioDevice.create(vm);
    const [a, b] = [open(groups.a), open(groups.b)];
    device.add(a.fd);
    device.add(b.fd);
    expect(model.noncoherentDmaCount).toBe(1);
    device.remove(a.fd);
    expect(model.noncoherentDmaCount).toBe(1);
    device.remove(b.fd);
    expect(model.noncoherentDmaCount).toBe(0);
    device.add(a.fd);
    device.close();
    expect(model.noncoherentDmaCount).toBe(0);
  });

  it("6.1 asks the container, and keeps a stale answer until the list is touched again", () => {
    const { newVm, open, groups, process } = testHost({ profile: "6.1", coherent: true });
    const { vm, model } = newVm();
    const device = KvmVfioDevice.create(vm);
    const group = open(groups.a);
    const container = VfioContainer.open(process);
    group.setContainer(container);
    device.add(group.fd);
    expect(model.noncoherentDmaCount).toBe(1);
    container.setIommu(IOMMU);
    expect(model.noncoherentDmaCount).toBe(1);
    expect(() => device.remove(container.fd)).toThrow(errno(ENOENT));
    expect(model.noncoherentDmaCount).toBe(0);
  });
});

describe("kvm-device: external users of old kernels (4.12)", () => {
  it("needs an attached group with an IOMMU, and keeps its container", () => {
    const { core, newVm, open, attach, groups } = testHost({ profile: "4.12" });
    const device = KvmVfioDevice.create(newVm().vm);
    const group = open(groups.a);
    expect(() => device.add(group.fd)).toThrow(errno(EINVAL));
    attach(group);
    device.add(group.fd);
    expect(core.groups.get(groups.a)?.containerUsers).toBe(2);
    expect(() => group.unsetContainer()).toThrow(errno(EBUSY));
    expect(() => device.add(group.fd)).toThrow(errno(EEXIST));
    device.remove(group.fd);
    expect(core.groups.get(groups.a)?.containerUsers).toBe(1);
    expect(() => group.unsetContainer()).not.toThrow();
  });

  it("keeps the device until the VM ends", () => {
    const { newVm, open, attach, groups, core } = testHost({ profile: "4.12" });
    const { vm } = newVm();
    const device = KvmVfioDevice.create(vm);
    const group = open(groups.a);
    attach(group);
    device.add(group.fd);
    device.close();
    expect(() => KvmVfioDevice.create(vm)).toThrow(errno(EBUSY));
    expect(core.groups.get(groups.a)?.containerUsers).toBe(2);
    vm.close();
    expect(core.groups.get(groups.a)?.containerUsers).toBe(1);
  });
});

describe("kvm-device: a full descriptor table", () => {
  it.each(["6.12", "4.12"] as const)("leaves no device behind when the descriptor table is full, on %s", (profile) => {
    const { process, newVm, deviceOf } = testHost({ profile });
    const { vm, model } = newVm();
    process.setrlimit("nofile", { soft: process.fds.list().length, hard: 1024 });
    expect(() => KvmVfioDevice.create(vm)).toThrow(errno(EMFILE));
    expect(deviceOf(model)).toBeUndefined();
    process.setrlimit("nofile", { soft: 1024, hard: 1024 });
    expect(() => KvmVfioDevice.create(vm)).not.toThrow();
  });
});

describe("kvm-device: TCE tables", () => {
  it("hands registered groups to the sPAPR code, and takes them back", () => {
    const seen: string[] = [];
    const spaprTce = {
      attach: (_vm: unknown, _process: unknown, table: number, group: { id: number }) =>
        seen.push(`attach ${table} ${group.id}`) && 0,
      release: (_vm: unknown, group: { id: number }) => void seen.push(`release ${group.id}`),
    };
    const { process, newVm, open, groups } = testHost({ spaprTce });
    const device = KvmVfioDevice.create(newVm().vm);
    expect(device.supportsSpaprTce).toBe(true);
    const group = open(groups.a);
    expect(() => device.setSpaprTce(group.fd, 99)).toThrow(errno(ENOENT));
    expect(() => device.setSpaprTce(-1, 99)).toThrow(errno(EBADF));
    device.add(group.fd);
    device.setSpaprTce(group.fd, 99);
    device.remove(group.fd);
    expect(seen).toEqual([`attach 99 ${groups.a}`, `release ${groups.a}`]);
    expect(kvm_vfio_spapr_tce.size).toBe(8);
    process.exit();
  });

  it.each([
    ["6.12", 0, 1],
    ["4.12", 1, 0],
  ] as const)("looks for tables of a group that none was linked to, or warns (%s)", (profile, releases, warnings) => {
    let released = 0;
    const spaprTce = { attach: () => -EINVAL, release: () => void released++ };
    const { kernel, newVm, open, attach, groups } = testHost({ profile, spaprTce });
    const device = KvmVfioDevice.create(newVm().vm);
    const group = open(groups.a);
    attach(group);
    device.add(group.fd);
    device.remove(group.fd);
    expect(released).toBe(releases);
    expect(kernel.log.filter((line) => line.startsWith("WARNING: KVM-VFIO")).length).toBe(warnings);
    // A link that was refused counts as one.
    device.add(group.fd);
    expect(() => device.setSpaprTce(group.fd, 0)).toThrow(errno(EINVAL));
    device.remove(group.fd);
    expect(released).toBe(releases + 1);
  });

  it("lets linked groups go when the device is closed", () => {
    const released: number[] = [];
    const spaprTce = {
      attach: () => 0,
      release: (_vm: unknown, group: { id: number }) => void released.push(group.id),
    };
    const { newVm, open, groups } = testHost({ spaprTce });
    const device = KvmVfioDevice.create(newVm().vm);
    for (const id of [groups.a, groups.b]) {
      const group = open(id);
      device.add(group.fd);
      device.setSpaprTce(group.fd, 0);
    }
    device.close();
    expect(released).toEqual([groups.a, groups.b]);
  });
});
