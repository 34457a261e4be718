// IOMMU units with and without snoop control in one machine: what containers, iommufds and KVM make of them.
import { KVM_DEV_TYPE_VFIO, KvmSystem } from "@minivmm/kvm";
import { KvmVfioDevice } from "@minivmm/kvm-device";
import {
  Iommufd,
  iommuGroupOf,
  VFIO_DMA_CC_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioCdev,
  VfioContainer,
  VfioGroup,
} from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import {
  type HostDescription,
  type ModelHostOptions,
  modelHost,
  modelHostDescription,
  parseModelSpec,
} from "../src/index.ts";

const NVME = "0000:02:00.0";
const NVME_PORT = "0000:00:02.0";
const EDU = "0000:00:05.0";
const BRIDGED = "0000:04:01.0";

type Units = NonNullable<Extract<HostDescription["iommu"], { kind: "type1" }>["units"]>;

function desktop(units: Units, more: Partial<HostDescription> = {}): HostDescription {
  return { ...modelHostDescription("desktop"), iommu: { kind: "type1", units }, ...more };
}

function host(units: Units, options: ModelHostOptions = {}, more: Partial<HostDescription> = {}) {
  const model = modelHost(desktop(units, more), options);
  const process = model.spawn({ memlock: Number.POSITIVE_INFINITY });
  const container = VfioContainer.open(process);
  let ready = false;
  return {
    model,
    process,
    /** A function's group joins the container: the container's answer then. */
    join(bdf: string): { group: VfioGroup; coherent: boolean } {
      const group = VfioGroup.open(process, iommuGroupOf(process, bdf));
      group.setContainer(container);
      if (!ready) container.setIommu(VFIO_TYPE1v2_IOMMU);
      ready = true;
      return { group, coherent: container.checkExtension(VFIO_DMA_CC_IOMMU) > 0 };
    },
    [Symbol.dispose]: () => model.close(),
  };
}

describe("model-host IOMMU units", () => {
  it.each(["6.12", "6.1"] as const)(
    "a container on Linux %s is coherent while all units of its groups can be",
    (profile) => {
      using machine = host([{ scope: [EDU], snoopControl: false }], { profile });
      expect(machine.join(NVME).coherent).toBe(true);
      expect(machine.join(BRIDGED).coherent).toBe(true);
      const { group, coherent } = machine.join(EDU);
      expect(coherent).toBe(false);
      group.close();
      expect(machine.join(EDU).coherent).toBe(false);
    },
  );

  it("requests that say No Snoop keep it only where no unit takes it away", () => {
    using machine = host([{ scope: [EDU], snoopControl: false }]);
    const { topology } = machine.model;
    const enforced = (): boolean[] => [NVME, EDU].map((bdf) => topology.get(bdf).group?.enforcesSnoop ?? false);
    const [nvme, edu] = [machine.join(NVME), machine.join(EDU)];
    expect(enforced()).toEqual([true, false]);
    nvme.group.unsetContainer();
    edu.group.unsetContainer();
    expect(enforced()).toEqual([false, false]);
  });

  it("a scope has bridges with all that is behind them, and units have what nothing else is said of", () => {
    const units: Units = [{ scope: [NVME_PORT, BRIDGED.toUpperCase()], snoopControl: false }, { scope: [EDU] }];
    using machine = host(units);
    const { vfio, topology } = machine.model;
    const enforced = topology.functions.filter((fn) => vfio.enforcesSnoop(fn)).map(({ name }) => name);
    expect(enforced).not.toContain(NVME_PORT);
    expect(enforced).not.toContain(NVME);
    expect(enforced).not.toContain(BRIDGED);
    expect(enforced).toContain(EDU);
    // The group is what its functions are together, of which one is behind that unit.
    expect(machine.join(EDU).coherent).toBe(true);
    expect(machine.join("0000:04:02.0").coherent).toBe(false);
  });

  it("may be said the other way round", () => {
    const description = desktop([{ scope: [EDU], snoopControl: true }]);
    using model = modelHost(description, { snoopControl: false });
    expect([EDU, NVME].map((bdf) => model.vfio.enforcesSnoop(model.topology.get(bdf)))).toEqual([true, false]);
    expect(parseModelSpec("desktop,snoop-control=off")).toEqual({ name: "desktop", snoopControl: false });
    expect(() => parseModelSpec("desktop,snoop-control")).toThrow(/snoop-control/);
    expect(() => modelHost("power9", { snoopControl: false })).toThrow(/no type1 IOMMU/);
  });

  // 6.12 asks what is in front of the group, whichever container it is in; 6.1 asks the container.
  it.each([
    ["6.12", [0, 1, 1]],
    ["6.1", [0, 1, 1]],
  ] as const)("KVM on Linux %s counts the VM once, while a file of such a group is in its list", (profile, counts) => {
    using machine = host([{ scope: [EDU], snoopControl: false }], { profile });
    const { process, model } = machine;
    const kvm = KvmSystem.open(process).createVm();
    expect(kvm.supportsDevice(KVM_DEV_TYPE_VFIO)).toBe(true);
    const device = KvmVfioDevice.create(kvm);
    const vm = [...model.kvm.vms][0];
    const seen = [NVME, EDU, BRIDGED].map((bdf) => {
      device.add(machine.join(bdf).group.fd);
      return vm?.noncoherentDmaCount;
    });
    expect(seen).toEqual(counts);
  });

  it("KVM on Linux 6.1 takes a group in a container with such a one for one itself, 6.12 does not", () => {
    for (const [profile, count] of [
      ["6.12", 0],
      ["6.1", 1],
    ] as const) {
      using machine = host([{ scope: [EDU], snoopControl: false }], { profile });
      const kvm = KvmSystem.open(machine.process).createVm();
      machine.join(EDU);
      KvmVfioDevice.create(kvm).add(machine.join(NVME).group.fd);
      expect([...machine.model.kvm.vms][0]?.noncoherentDmaCount).toBe(count);
    }
  });

  it("iommufd keeps page tables apart, but lets everybody into one that promises nothing", () => {
    const build = { kernelConfig: { iommufd: true, deviceCdev: true } };
    using machine = host([{ scope: [EDU], snoopControl: false }], {}, build);
    const { process } = machine;
    const iommufd = Iommufd.open(process);
    const devices = [NVME, EDU, BRIDGED].map((bdf) => VfioCdev.open(process, bdf)) as [VfioCdev, VfioCdev, VfioCdev];
    for (const device of devices) device.bind(iommufd);
    const [nvme, edu, bridged] = devices;
    const space = iommufd.allocIoas();
    const first = nvme.attach(space);
    expect(edu.attach(space)).not.toBe(first);
    expect(bridged.attach(space)).toBe(first);
    nvme.detach();
    bridged.detach();
    expect(nvme.attach(space)).toBe(edu.attach(space));
  });

  it("says what is wrong with a scope", () => {
    const cases: [Units, RegExp][] = [
      [[{ scope: ["0000:09:00.0"], snoopControl: false }], /units\.0\.scope: 0000:09:00\.0: there is no such function/],
      [[{ scope: [EDU] }, { scope: [EDU] }], /units\.1\.scope: .*it is in two scopes/],
      [[{ scope: ["05.0"] }], /iommu\.units\.0\.scope\.0/],
    ];
    for (const [units, message] of cases) expect(() => modelHost(desktop(units))).toThrow(message);
  });
});
