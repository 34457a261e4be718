// VFIO without an IOMMU: the parameter, the fake group, rights at every step, the container's type 8, DMA as it is.
import { EINVAL, ENODEV, ENOENT, ENOTTY, EPERM, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { type KernelProfile, ManualClock, ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { edu, passive } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import { VfioContainer, VfioGroup, vfioIoctls } from "../src/index.ts";
import { Type1Iommu, VfioCore, type VfioCoreOptions, vfioFileEnforcedCoherent } from "../src/model/index.ts";
import { rawIommufd } from "./iommufd-fixture.ts";
import { ram, rawCalls } from "./type1-fixture.ts";

const EDU = "0000:00:01.0";
const PLAIN = "0000:00:02.0";
const ioctls = vfioIoctls("x86_64");

function bare(options: VfioCoreOptions & { profile?: KernelProfile } = {}) {
  const { profile = "6.12", ...rest } = options;
  const clock = new ManualClock();
  const kernel = new ModelKernel({ clock, profile });
  const topology = PciTopology.fromDescription({
    grouping: "none",
    domains: [
      {
        devices: [
          { at: "01.0", device: edu({ after: (ms, run) => clock.after(ms, run) }) },
          { at: "02.0", device: passive({ vendor: 0x8086, device: 0x100e, classCode: 0x020000 }) },
        ],
      },
    ],
  });
  for (const fn of topology.functions) kernel.sysfs.dir(`/sys/bus/pci/devices/${fn.name}`);
  const core = new VfioCore(kernel, topology, rest);
  core.registerIommuDriver(new Type1Iommu(kernel, { topology }));
  const process = kernel.spawn({ capabilities: ["SYS_RAWIO"] });
  return { kernel, topology, core, process, clock };
}

const openNode = (process: ModelProcess, path = "/dev/vfio/noiommu-0") => process.open(path, O_RDWR | O_CLOEXEC);
const setContainer = (process: ModelProcess, group: number, fd: number) =>
  process.ioctl(group, ioctls.VFIO_GROUP_SET_CONTAINER, new Uint8Array(new Int32Array([fd]).buffer));
const deviceFd = (process: ModelProcess, group: number, bdf = EDU) =>
  process.ioctl(group, ioctls.VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${bdf}\0`));

describe("vfio-core noiommu: binding", () => {
  it("is refused where the kernel is built without it, and while the parameter is off", () => {
    expect(bare().core.bind(EDU, "vfio-pci")).toBe(-EINVAL);
    const { core, process } = bare({ noiommu: "off" });
    expect(core.bind(EDU, "vfio-pci")).toBe(-EINVAL);
    const parameter = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    expect(new TextDecoder().decode(process.readFile(parameter) as Uint8Array)).toBe("N\n");
    expect(process.writeFile(parameter, "Y")).toBe(1);
    expect(core.bind(EDU, "vfio-pci")).toBe(0);
    expect(() => bare({ profile: "3.11", noiommu: "on" })).toThrow(/no mode without/);
  });

  it("makes a group of its own, in sysfs and /dev, and taints the kernel", () => {
    const { core, process, kernel } = bare({ noiommu: "on", iommufd: {}, deviceCdev: true });
    const text = (path: string) => new TextDecoder().decode(process.readFile(path) as Uint8Array);
    expect(text("/proc/sys/kernel/tainted")).toBe("0\n");
    core.bind(EDU, "vfio-pci");
    core.bind(PLAIN, "vfio-pci");
    expect(text("/proc/sys/kernel/tainted")).toBe("64\n");
    expect(kernel.log).toContain(`vfio-pci ${EDU}: Adding kernel taint for vfio-noiommu group on device`);
    expect(process.readdir("/dev/vfio")).toEqual(["noiommu-0", "noiommu-1", "vfio"]);
    expect(text(`/sys/bus/pci/devices/${PLAIN}/iommu_group/name`)).toBe("vfio-noiommu\n");
    expect(process.readdir("/sys/kernel/iommu_groups/1/devices")).toEqual([PLAIN]);
    // The class device is there, but no node.
    expect(process.exists(`/sys/bus/pci/devices/${EDU}/vfio-dev/vfio0`)).toBe(true);
    expect(process.exists(`/sys/bus/pci/devices/${EDU}/vfio-dev/vfio0/dev`)).toBe(false);
    core.unbind(EDU);
    expect(process.exists(`/sys/bus/pci/devices/${EDU}/iommu_group`)).toBe(false);
    expect(openNode(process)).toBe(-ENOENT);
    expect(core.bind(EDU, "vfio-pci")).toBe(0);
    expect(openNode(process)).toBeGreaterThanOrEqual(0);
  });
});

describe("vfio-core noiommu: container", () => {
  function attached(options: VfioCoreOptions = {}) {
    const host = bare({ noiommu: "on", ...options });
    host.core.bind(EDU, "vfio-pci");
    const { process } = host;
    const container = VfioContainer.open(process);
    const group = openNode(process);
    return { ...host, container, group };
  }

  it("takes type 8 and nothing else (spec case 169)", () => {
    const { process, container, group } = attached();
    const set = (type: number) => process.ioctl(container.fd, ioctls.VFIO_SET_IOMMU, type);
    expect(container.checkExtension(8)).toBe(1);
    expect(container.checkExtension(1)).toBe(1);
    expect(set(8)).toBe(-EINVAL);
    expect(setContainer(process, group, container.fd)).toBe(0);
    expect(container.checkExtension(1)).toBe(0);
    expect(deviceFd(process, group)).toBe(-EINVAL);
    expect([set(1), set(3), set(9)]).toEqual([-ENODEV, -ENODEV, -ENODEV]);
    expect(set(8)).toBe(0);
    expect(set(8)).toBe(-EINVAL);
    expect(rawCalls(process, container.fd).map({ iova: 0 })).toBe(-ENOTTY);
    expect([container.checkExtension(8), container.checkExtension(9)]).toEqual([1, 0]);
    expect(deviceFd(process, group)).toBeGreaterThan(0);
  });

  it("asks for CAP_SYS_RAWIO at every step (spec case 168)", () => {
    const { process, kernel, container, group } = attached();
    expect(openNode(kernel.spawn())).toBe(-EPERM);
    const weak = process.fork();
    weak.drop("SYS_RAWIO");
    expect(setContainer(weak, group, 99)).toBe(-9);
    expect(setContainer(weak, group, container.fd)).toBe(-EPERM);
    expect(setContainer(process, group, container.fd)).toBe(0);
    expect(weak.ioctl(container.fd, ioctls.VFIO_SET_IOMMU, 8)).toBe(-EPERM);
    expect(process.ioctl(container.fd, ioctls.VFIO_SET_IOMMU, 8)).toBe(0);
    expect(deviceFd(weak, group)).toBe(-EPERM);
    const first = deviceFd(process, group);
    // Only the first open is asked.
    expect(deviceFd(weak, group)).toBeGreaterThanOrEqual(0);
    expect(first).toBeGreaterThan(0);
    expect(kernel.log.join("\n")).toMatch(/vfio-noiommu device opened by user/);
  });

  it("on kernels before 5.18 the right comes before the descriptor", () => {
    const host = bare({ noiommu: "on", profile: "4.12" });
    host.core.bind(EDU, "vfio-pci");
    const group = openNode(host.process);
    host.process.drop("SYS_RAWIO");
    expect(setContainer(host.process, group, 99)).toBe(-EPERM);
    expect(setContainer(host.process, group, -1)).toBe(-EINVAL);
  });

  it("never has groups of both kinds (spec case 170)", () => {
    const clock = new ManualClock();
    const kernel = new ModelKernel({ clock });
    const topology = PciTopology.fromDescription({
      domains: [
        { devices: [{ at: "01.0", device: edu(), driver: "vfio-pci" }] },
        { devices: [{ at: "01.0", device: edu() }] },
      ],
    });
    const bare = topology.get("0001:00:01.0");
    bare.group = null;
    for (const fn of topology.functions) kernel.sysfs.dir(`/sys/bus/pci/devices/${fn.name}`);
    const core = new VfioCore(kernel, topology, { noiommu: "on" });
    core.registerIommuDriver(new Type1Iommu(kernel, { topology }));
    expect(core.bind(bare.name, "vfio-pci")).toBe(0);
    const process = kernel.spawn({ capabilities: ["SYS_RAWIO"] });
    const real = openNode(process, `/dev/vfio/${topology.get("0000:00:01.0").group?.id}`);
    const fake = openNode(process, `/dev/vfio/noiommu-${topology.get(bare.name).group?.id}`);
    const a = VfioContainer.open(process);
    expect(setContainer(process, real, a.fd)).toBe(0);
    expect(setContainer(process, fake, a.fd)).toBe(-EPERM);
    process.ioctl(real, ioctls.VFIO_GROUP_UNSET_CONTAINER, 0);
    expect(setContainer(process, fake, a.fd)).toBe(0);
    expect(setContainer(process, real, a.fd)).toBe(-EPERM);
  });

  it("the parameter turned off takes the type away", () => {
    const { process, container, group } = attached();
    setContainer(process, group, container.fd);
    process.writeFile("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "0");
    expect(process.ioctl(container.fd, ioctls.VFIO_SET_IOMMU, 8)).toBe(-ENODEV);
  });

  it("the device works, and its DMA is not translated", () => {
    const { process, topology, container, group, kernel } = attached();
    setContainer(process, group, container.fd);
    container.setIommu(8);
    const fd = deviceFd(process, group);
    const out = new Uint8Array(4);
    expect(process.pread(fd, out, 0)).toBe(4);
    expect([...out]).toEqual([0xed, 0, 0, 1]);
    const memory = ram(process, 1);
    const physical = process.mm.virtToPhys(memory.address);
    const into = new Uint8Array(4);
    const domain = topology.get(EDU).group?.domain;
    expect(domain?.read(Math.floor(physical / 2 ** 32), physical % 2 ** 32, into)).toBe(true);
    expect([...into]).toEqual([0x11, 0x11, 0x11, 0x11]);
    expect(domain?.read(0, 0, into)).toBe(false);
    // Leaving the container does not stop it: nothing could.
    process.close(fd);
    expect(process.ioctl(group, ioctls.VFIO_GROUP_UNSET_CONTAINER, 0)).toBe(0);
    expect(topology.get(EDU).group?.domain).toBe(domain);
    expect(kernel.log.length).toBeGreaterThan(0);
  });

  it("is not coherent to KVM, whatever the host's IOMMU could do elsewhere", () => {
    const { process, group } = attached({ enforcesSnoop: true });
    const file = process.fileOf(group);
    expect(file && vfioFileEnforcedCoherent(file)).toBe(false);
  });

  it("the client finds the group by its address", () => {
    const { process, core, container } = attached();
    core.bind(PLAIN, "vfio-pci");
    using group = VfioGroup.open(process, 1);
    group.setContainer(container);
    container.setIommu(8);
    using device = group.device(PLAIN);
    expect(device.info().irqs).toBe(5);
  });
});

describe("vfio-core noiommu: on an iommufd", () => {
  it("an address space and a group without an IOMMU exclude each other", () => {
    const { process, core } = bare({ noiommu: "on", iommufd: {} });
    core.bind(EDU, "vfio-pci");
    const group = openNode(process);
    const fd = process.open("/dev/iommu", O_RDWR);
    const io = rawIommufd(process, fd);
    const ioas = io.alloc();
    const set = (type: number) => process.ioctl(fd, ioctls.VFIO_SET_IOMMU, type);
    const ext = (n: number) => process.ioctl(fd, ioctls.VFIO_CHECK_EXTENSION, n);
    expect([ext(8), set(8)]).toEqual([1, -EINVAL]);
    expect(setContainer(process, group, fd)).toBe(0);
    expect([ext(1), ext(8), set(1), set(8)]).toEqual([0, 1, -EINVAL, 0]);
    expect(deviceFd(process, group)).toBeGreaterThan(0);
    const weak = process.fork();
    weak.drop("SYS_RAWIO");
    expect(weak.ioctl(fd, ioctls.VFIO_SET_IOMMU, 8)).toBe(-EPERM);
    expect(deviceFd(weak, group)).toBeGreaterThan(0);
    expect(io.destroy(ioas)).toBe(0);
  });

  it("a compat address space chosen meanwhile stops the device from being opened", () => {
    const { process, core } = bare({ noiommu: "on", iommufd: {} });
    core.bind(EDU, "vfio-pci");
    const group = openNode(process);
    const fd = process.open("/dev/iommu", O_RDWR);
    const io = rawIommufd(process, fd);
    expect(setContainer(process, group, fd)).toBe(0);
    const arg = new Uint8Array(12);
    new DataView(arg.buffer).setUint32(0, 12, true);
    new DataView(arg.buffer).setUint32(4, io.alloc(), true);
    new DataView(arg.buffer).setUint16(8, 1, true);
    expect(process.ioctl(fd, 0x3b88, arg)).toBe(0);
    expect(deviceFd(process, group)).toBe(-EPERM);
  });
});
