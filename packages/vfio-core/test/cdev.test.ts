// Device nodes: numbers and sysfs, binding and attaching in the kernel's order, exclusion of groups, lifetimes.
import {
  EBADF,
  EBADFD,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOTTY,
  EPERM,
  MAP_SHARED,
  O_RDWR,
  PROT_READ,
} from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { iommuGroupOf, VfioContainer, VfioGroup, vfioIoctls } from "../src/index.ts";
import { vfioFileIsValid, vfioFileSetKvm } from "../src/model/index.ts";
import { BRIDGED, BRIDGED_FREE, BRIDGED_HOST, EDU, NVME, PASSIVE, testHost } from "./fixture.ts";
import { iommufdHost, nodeName, rawDevice, rawIommufd, rawNode } from "./iommufd-fixture.ts";

const ioctls = vfioIoctls("x86_64");
const text = (bytes: Uint8Array | number) => (typeof bytes === "number" ? bytes : new TextDecoder().decode(bytes));

describe("vfio-core cdev: nodes", () => {
  it("are numbered in bind order, the lowest free number first", () => {
    const { process, core } = iommufdHost();
    expect([EDU, NVME, PASSIVE, BRIDGED].map((bdf) => nodeName(process, bdf))).toEqual([
      "vfio0",
      "vfio1",
      "vfio2",
      "vfio3",
    ]);
    expect(process.readdir("/dev/vfio/devices")).toEqual(["vfio0", "vfio1", "vfio2", "vfio3"]);
    expect(text(process.readFile(`/sys/bus/pci/devices/${NVME}/vfio-dev/vfio1/dev`))).toMatch(/^\d+:1\n$/);
    expect(process.exists("/sys/class/vfio-dev/vfio1/device/iommu_group")).toBe(true);
    core.unbind(NVME);
    core.unbind(EDU);
    expect(process.exists("/dev/vfio/devices/vfio0")).toBe(false);
    expect(process.exists(`/sys/bus/pci/devices/${NVME}/vfio-dev`)).toBe(false);
    core.bind(NVME, "vfio-pci");
    expect(nodeName(process, NVME)).toBe("vfio0");
  });

  it("are not there on a kernel as Debian builds it; the class device is", () => {
    const { process } = testHost();
    expect(process.readdir("/dev/vfio/devices")).toBe(-ENOENT);
    expect(nodeName(process, EDU)).toBe("vfio0");
    expect(process.exists(`/sys/bus/pci/devices/${EDU}/vfio-dev/vfio0/dev`)).toBe(false);
    expect(process.open("/dev/iommu", O_RDWR)).toBe(-ENOENT);
  });

  it("have no class device before 6.1", () => {
    const { process } = testHost({ profile: "4.12" });
    expect(process.exists(`/sys/bus/pci/devices/${EDU}/vfio-dev`)).toBe(false);
  });

  it("cannot be built without iommufd, nor before 6.12", () => {
    expect(() => testHost({ deviceCdev: true })).toThrow(/need iommufd/);
    expect(() => testHost({ profile: "6.1", iommufd: {} })).toThrow(/has no iommufd/);
  });
});

describe("vfio-core cdev: before binding", () => {
  it("any number of opens, and nothing but BIND_IOMMUFD", () => {
    const { process } = iommufdHost();
    const node = rawNode(process, EDU);
    const second = rawNode(process, EDU);
    for (const request of Object.values(ioctls)) {
      if (request === ioctls.VFIO_DEVICE_BIND_IOMMUFD) continue;
      expect(process.ioctl(node.fd, request, new Uint8Array(32))).toBe(-EINVAL);
    }
    expect(process.pread(node.fd, new Uint8Array(4), 0)).toBe(-EINVAL);
    expect(process.pread(node.fd, new Uint8Array(0), 0)).toBe(-EINVAL);
    expect(process.pwrite(node.fd, new Uint8Array(4), 0)).toBe(-EINVAL);
    expect(process.mmap({ length: 4096, prot: PROT_READ, flags: MAP_SHARED, fd: node.fd })).toBe(-EINVAL);
    node.close();
    second.close();
  });

  it("a node that is only open keeps its driver bound", () => {
    const { process, core, clock, kernel } = iommufdHost();
    const node = rawNode(process, EDU);
    core.unbind(EDU);
    expect(process.open("/dev/vfio/devices/vfio0", O_RDWR)).toBe(-ENOENT);
    expect(core.device(EDU)).toBeDefined();
    expect(kernel.log.join("\n")).toMatch(/No device request channel/);
    node.close();
    expect(core.device(EDU)).toBeUndefined();
    clock.advance(60_000);
  });
});

describe("vfio-core cdev: BIND_IOMMUFD", () => {
  it("checks in the kernel's order (spec case 173)", () => {
    const { process, fd } = iommufdHost();
    const node = rawNode(process, EDU);
    const eventfd = process.eventfd(0, 0);
    expect(process.ioctl(node.fd, ioctls.VFIO_DEVICE_BIND_IOMMUFD, 8)).toBe(-EFAULT);
    expect(node.bind(fd, { argsz: 15 })).toBe(-EINVAL);
    expect(node.bind(fd, { flags: 1 })).toBe(-EINVAL);
    expect(node.bind(-1)).toBe(-EINVAL);
    expect(node.bind(999)).toBe(-EBADF);
    expect(node.bind(eventfd)).toBe(-EBADFD);
    expect(node.bind(fd)).toBe(1);
    expect(node.bind(fd)).toBe(-EINVAL);
    expect(node.bind(999)).toBe(-EINVAL);
    // One device, one user: another file of the same node is refused.
    expect(rawNode(process, EDU).bind(fd)).toBe(-EINVAL);
  });

  it("and groups exclude each other (spec case 172)", () => {
    const { process, fd } = iommufdHost();
    const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    const node = rawNode(process, EDU);
    expect(node.bind(fd)).toBe(-EBUSY);
    expect(node.bind(999)).toBe(-EBUSY);
    group.close();
    expect(node.bind(fd)).toBe(1);
    expect(() => VfioGroup.open(process, group.id)).toThrow(/in use/);
    node.close();
    using again = VfioGroup.open(process, group.id);
    expect(again.status().viable).toBe(true);
  });

  it("of a file that a group opened is refused; of one on Debian's kernel unknown", () => {
    const { process, fd } = iommufdHost();
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    group.setContainer(container);
    container.setIommu(1);
    const device = group.device(EDU);
    const raw = rawDevice(process, device.fd);
    expect(raw.bind(fd)).toBe(-EINVAL);
    expect(raw.bind(fd, { argsz: 1 })).toBe(-EINVAL);
    expect(raw.attach(1)).toBe(-ENOTTY);
    expect(raw.detach()).toBe(-ENOTTY);
  });

  it("takes the DMA of the whole group, which a host driver or another iommufd denies", () => {
    const { process, fd, core } = iommufdHost();
    const node = rawNode(process, BRIDGED);
    core.bind(BRIDGED_HOST, "e1000");
    expect(node.bind(fd)).toBe(-EPERM);
    core.unbind(BRIDGED_HOST);
    core.bind(BRIDGED_FREE, "vfio-pci");
    expect(node.bind(fd)).toBe(1);
    expect(core.bind(BRIDGED_HOST, "e1000")).toBe(-EBUSY);
    const sibling = rawNode(process, BRIDGED_FREE);
    const other = process.open("/dev/iommu", O_RDWR);
    expect(sibling.bind(other)).toBe(-EPERM);
    expect(sibling.bind(fd)).toBe(2);
    node.close();
    expect(core.bind(BRIDGED_HOST, "e1000")).toBe(-EBUSY);
    sibling.close();
    expect(core.bind(BRIDGED_HOST, "e1000")).toBe(0);
  });

  it("needs isolated interrupts, or iommufd's own parameter", () => {
    const { process, fd, kernel } = iommufdHost({ iommufd: { interruptRemapping: false } });
    const node = rawNode(process, EDU);
    expect(node.bind(fd)).toBe(-EPERM);
    expect(process.writeFile("/sys/module/iommufd/parameters/allow_unsafe_interrupts", "1")).toBe(1);
    expect(node.bind(fd)).toBe(1);
    expect(kernel.log.join("\n")).toMatch(/cannot be isolated/);
    const none = iommufdHost({ iommufd: { unitOf: () => null } });
    expect(rawNode(none.process, EDU).bind(none.fd)).toBe(-EINVAL);
  });

  it("needs DMA that may be blocked, which firmware's one-to-one regions forbid", () => {
    const region = { start: 0x1000n, end: 0x1fffn };
    const direct = iommufdHost({ iommufd: { reservedRegions: [{ ...region, type: "direct" }] } });
    expect(rawNode(direct.process, EDU).bind(direct.fd)).toBe(-EINVAL);
    expect(direct.topology.get(EDU).group?.owner).toBeNull();
    const relaxable = iommufdHost({ iommufd: { reservedRegions: [{ ...region, type: "direct-relaxable" }] } });
    const node = rawNode(relaxable.process, EDU);
    expect(node.bind(relaxable.fd)).toBe(1);
    expect(node.attach(relaxable.io.alloc())).toBe(3);
    expect(relaxable.io.ranges(2).ranges[0]).toBe("0-fedfffff");
  });

  it("undoes itself when the id cannot be told, or the device cannot be opened", () => {
    const { process, fd, topology, core } = iommufdHost();
    const node = rawNode(process, EDU);
    const page = process.mmap({ length: 4096, prot: PROT_READ, flags: 0x22 });
    if (typeof page === "number" || !page.bytes) throw new Error("no memory");
    page.bytes.set(new Uint8Array(new Int32Array([16, 0, fd, 0]).buffer));
    expect(process.ioctl(node.fd, ioctls.VFIO_DEVICE_BIND_IOMMUFD, page.address)).toBe(-EFAULT);
    expect(core.device(EDU)?.openCount).toBe(0);
    expect(process.fileOf(fd)?.refs).toBe(1);
    topology.get(NVME).locked = true;
    const locked = rawNode(process, NVME);
    expect(locked.bind(fd)).toBeLessThan(0);
    expect(process.fileOf(fd)?.refs).toBe(1);
    using group = VfioGroup.open(process, iommuGroupOf(process, EDU));
    expect(group.status()).toEqual({ viable: true, containerSet: false });
  });
});

describe("vfio-core cdev: page tables", () => {
  it("attach and detach check in the kernel's order", () => {
    const { process, fd, io } = iommufdHost();
    const node = rawNode(process, EDU);
    const device = node.bind(fd);
    const ioas = io.alloc();
    expect(process.ioctl(node.fd, ioctls.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 8)).toBe(-EFAULT);
    expect(node.attach(ioas, { argsz: 11 })).toBe(-EINVAL);
    expect(node.attach(ioas, { flags: 1 })).toBe(-EINVAL);
    expect(node.attach(77)).toBe(-ENOENT);
    expect(node.attach(device)).toBe(-EINVAL);
    expect(node.attach(ioas)).toBe(3);
    expect(node.attach(ioas)).toBe(3);
    expect(node.attach(3)).toBe(3);
    expect(node.detach({ argsz: 7 })).toBe(-EINVAL);
    expect(node.detach({ flags: 1 })).toBe(-EINVAL);
    expect([node.detach(), node.detach()]).toEqual([0, 0]);
  });

  it("attaching again replaces; the old automatic table goes", () => {
    const { process, fd, io, core } = iommufdHost();
    const node = rawNode(process, EDU);
    node.bind(fd);
    const [first, second] = [io.alloc(), io.alloc()];
    const domain = () => core.device(EDU)?.fn.group?.domain;
    expect(node.attach(first)).toBe(4);
    const before = domain();
    expect(node.attach(second)).toBe(5);
    expect(domain()).not.toBe(before);
    expect(io.destroy(4)).toBe(-ENOENT);
    expect(io.ranges(first).count).toBe(1);
    expect(io.ranges(second).count).toBe(2);
    expect(node.attach(first)).toBe(4);
    node.detach();
    expect(domain()).toBeNull();
  });

  it("devices of a group share one", () => {
    const { process, fd, io, core } = iommufdHost();
    core.bind(BRIDGED_FREE, "vfio-pci");
    const a = rawNode(process, BRIDGED);
    const b = rawNode(process, BRIDGED_FREE);
    a.bind(fd);
    b.bind(fd);
    const [first, second] = [io.alloc(), io.alloc()];
    const table = a.attach(first);
    expect(b.attach(second)).toBe(-EINVAL);
    expect(b.attach(first)).toBe(table);
    // Replacing moves both of them.
    const moved = a.attach(second);
    expect(moved).toBeGreaterThan(0);
    expect(io.destroy(table)).toBe(-ENOENT);
    expect(b.attach(second)).toBe(moved);
    a.close();
    expect(io.destroy(moved)).toBe(-EBUSY);
    b.close();
    expect(io.destroy(moved)).toBe(-ENOENT);
  });

  it("are shared between devices as far as no-snoop DMA is treated alike", () => {
    const { process, fd, io } = iommufdHost({
      iommufd: { unitOf: ({ functions }) => (functions[0]?.name === NVME ? { snoopControl: false } : {}) },
    });
    const ioas = io.alloc();
    const [edu, nvme, passive] = [EDU, NVME, PASSIVE].map((bdf) => rawNode(process, bdf));
    if (!edu || !nvme || !passive) throw new Error("no nodes");
    for (const node of [edu, nvme, passive]) node.bind(fd);
    const enforced = edu.attach(ioas);
    expect(passive.attach(ioas)).toBe(enforced);
    const plain = nvme.attach(ioas);
    expect(plain).not.toBe(enforced);
    // A table that promises less takes everybody.
    passive.detach();
    expect(passive.attach(plain)).toBe(plain);
    expect(nvme.attach(enforced)).toBe(-EINVAL);
  });

  it("hardware that refuses is reported, and nothing stays behind", () => {
    const { process, fd, io } = iommufdHost({ iommufd: { unitOf: () => ({ attachErrno: EBUSY }) } });
    const node = rawNode(process, EDU);
    node.bind(fd);
    const ioas = io.alloc();
    expect(node.attach(ioas)).toBe(-EBUSY);
    expect(io.ranges(ioas).count).toBe(1);
    expect(io.destroy(ioas)).toBe(0);
    expect(io.alloc()).toBe(2);
  });
});

describe("vfio-core cdev: lifetimes", () => {
  it("a bound device keeps the iommufd alive after its descriptor is closed", () => {
    const { process, fd, io, core } = iommufdHost();
    const node = rawNode(process, EDU);
    node.bind(fd);
    const ioas = io.alloc();
    node.attach(ioas);
    const bytes = new Uint8Array(new SharedArrayBuffer(4096));
    expect(io.map(ioas, { va: process.addressOf(bytes), iova: 0 })).toBe(0);
    const file = process.fileOf(fd);
    process.close(fd);
    expect(file?.refs).toBe(2);
    const into = new Uint8Array(4);
    expect(core.device(EDU)?.fn.group?.domain?.read(0, 0, into)).toBe(true);
    node.close();
    expect(file?.refs).toBe(0);
    expect(process.mm.pinnedPages).toBe(0);
  });

  it("a process that exits leaves nothing", () => {
    const { process, fd, io, core } = iommufdHost();
    const node = rawNode(process, EDU);
    node.bind(fd);
    const ioas = io.alloc();
    node.attach(ioas);
    io.map(ioas, { va: process.addressOf(new Uint8Array(new SharedArrayBuffer(4096))), iova: 0 });
    process.exit();
    expect(process.mm.pinnedPages).toBe(0);
    expect(core.iommufd?.accounts.lockedBy(process)).toBe(0);
    expect(core.device(EDU)).toMatchObject({ openCount: 0, nodeFiles: 0, iommufd: null });
    expect(core.device(EDU)?.group).toMatchObject({ boundByNode: 0 });
    expect(core.device(EDU)?.fn.group).toMatchObject({ owner: null, domain: null });
  });

  it("a virtual machine that the file was given to is held while it is bound", () => {
    const { process, fd } = iommufdHost();
    const node = rawNode(process, EDU);
    let references = 0;
    const kvm = { get: () => ++references, put: () => --references };
    const file = process.fileOf(node.fd);
    if (!file) throw new Error("no file");
    expect(vfioFileIsValid(file)).toBe(true);
    vfioFileSetKvm(file, kvm);
    expect(references).toBe(0);
    node.bind(fd);
    expect(references).toBe(1);
    node.close();
    expect(references).toBe(0);
  });

  it("unbinding the driver waits for the bound file and asks it to go", () => {
    const { process, fd, core } = iommufdHost();
    const node = rawNode(process, EDU);
    node.bind(fd);
    core.unbind(EDU);
    expect(core.device(EDU)).toBeDefined();
    expect(process.readdir(`/sys/bus/pci/devices/${EDU}/vfio-dev`)).toBe(-ENOENT);
    node.close();
    expect(core.device(EDU)).toBeUndefined();
    expect(process.open("/dev/vfio/0", O_RDWR)).toBe(-ENOENT);
    expect(rawIommufd(process, fd).alloc()).toBe(1);
  });

  it("a group whose devices are bound is not viable for others", () => {
    const { process, fd, core } = iommufdHost();
    core.bind(BRIDGED_FREE, "vfio-pci");
    const node = rawNode(process, BRIDGED);
    node.bind(fd);
    expect(process.open(`/dev/vfio/${iommuGroupOf(process, BRIDGED)}`, O_RDWR)).toBe(-EBUSY);
    expect(core.device(BRIDGED)?.group.viable).toBe(false);
  });
});
