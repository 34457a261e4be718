import {
  EAGAIN,
  EBADF,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOTTY,
  ENXIO,
  EPERM,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  type Mapping,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
} from "@minivmm/host";
import { ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { beforeEach, describe, expect, it } from "vitest";
import {
  KVM_CAP_IRQFD,
  KVM_CAP_MAX_VCPUS,
  KVM_CREATE_DEVICE_TEST,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_IRQFD_FLAG_RESAMPLE,
  KvmError,
  KvmSystem,
  type KvmVm,
  kvm_create_device,
  kvm_device_attr,
  kvm_ioeventfd,
  kvm_irqfd,
  kvmRequests,
} from "../src/index.ts";
import { ModelKvm, type ModelVm } from "../src/model/index.ts";

const R = kvmRequests("x86_64");
let kernel: ModelKernel;
let kvm: ModelKvm;
let host: ModelProcess;
let vm: KvmVm;

beforeEach(() => {
  kernel = new ModelKernel();
  kvm = new ModelKvm(kernel);
  host = kernel.spawn();
  vm = KvmSystem.open(host).createVm();
});

const model = (): ModelVm => [...kvm.vms][0] as ModelVm;
const memory = (pages: number): Uint8Array => {
  const mapping = host.mmap({ length: pages * 4096, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  return (mapping as Mapping).bytes as Uint8Array;
};
const irqfd = (fd: number, gsi: number, flags = 0, resamplefd = 0): number =>
  host.ioctl(vm.fd, R.KVM_IRQFD, kvm_irqfd.encode({ fd: fd >>> 0, gsi, flags, resamplefd: resamplefd >>> 0 }));
const doorbell = (addr: bigint, len: number, fd: number, flags = 0, datamatch = 0n): number =>
  host.ioctl(vm.fd, R.KVM_IOEVENTFD, kvm_ioeventfd.encode({ addr, len, fd, flags, datamatch }));

describe("kvm model: system", () => {
  it("answers version, capabilities and refuses what it does not know", () => {
    const fd = host.open("/dev/kvm", O_RDWR);
    expect(host.ioctl(fd, R.KVM_GET_API_VERSION, 0)).toBe(12);
    expect(host.ioctl(fd, R.KVM_GET_API_VERSION, 1)).toBe(-EINVAL);
    expect(host.ioctl(fd, R.KVM_CHECK_EXTENSION, KVM_CAP_IRQFD)).toBe(1);
    expect(host.ioctl(fd, R.KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS)).toBe(0);
    expect(host.ioctl(fd, R.KVM_CHECK_EXTENSION, 9999)).toBe(0);
    expect(host.ioctl(fd, R.KVM_RUN, 0)).toBe(-ENOTTY);
    expect(host.ioctl(fd, R.KVM_CREATE_VM, 1)).toBe(-EINVAL);
  });

  it("says in one line that the node is missing, with a remedy", () => {
    const bare = new ModelKernel().spawn();
    expect(() => KvmSystem.open(bare)).toThrowError(KvmError);
    expect(() => KvmSystem.open(bare)).toThrow("cannot open /dev/kvm: ENOENT");
  });

  it("drops the VM with its last descriptor", () => {
    expect(kvm.vms.size).toBe(1);
    const copy = host.dup(vm.fd);
    vm.close();
    expect(kvm.vms.size).toBe(1);
    host.close(copy);
    expect(kvm.vms.size).toBe(0);
  });
});

describe("kvm model: memory slots", () => {
  it("maps, moves and deletes slots", () => {
    const bytes = memory(4);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0x10000n, memory: bytes });
    expect(model().slots.userAddressOf(0x11234)).toBe(Number(host.addressOf(bytes)) + 0x1234);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0x80000n, memory: bytes });
    expect(model().slots.userAddressOf(0x11234)).toBe(-1);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0n });
    expect(model().slots.size).toBe(0);
  });

  it("refuses overlap, misalignment, resizing and deleting nothing", () => {
    const bytes = memory(4);
    vm.setMemoryRegion({ slot: 0, guestAddress: 0x10000n, memory: bytes });
    const refused = (region: Parameters<KvmVm["setMemoryRegion"]>[0], errno: number): void =>
      expect(() => vm.setMemoryRegion(region)).toThrow(expect.objectContaining({ errno }));
    refused({ slot: 1, guestAddress: 0x13000n, memory: bytes }, EEXIST);
    refused({ slot: 1, guestAddress: 0x20001n, memory: bytes }, EINVAL);
    refused({ slot: 0, guestAddress: 0x10000n, memory: bytes.subarray(0, 4096) }, EINVAL);
    refused({ slot: 7, guestAddress: 0n }, EINVAL);
    refused({ slot: 32764, guestAddress: 0x90000n, memory: bytes }, EINVAL);
    refused({ slot: 1, guestAddress: 0x20000n, memory: bytes, flags: 4 }, EINVAL);
  });
});

describe("kvm model: irqfd", () => {
  it("needs the interrupt controller and refuses in the kernel's order", () => {
    const e = host.eventfd(0, 0);
    expect(irqfd(e, 5)).toBe(-EINVAL);
    vm.createIrqchip();
    expect(() => vm.createIrqchip()).toThrow(expect.objectContaining({ errno: EEXIST }));
    expect(irqfd(e, 5)).toBe(0);
    expect(irqfd(e, 6)).toBe(-EBUSY);
    expect(irqfd(e, 5, KVM_IRQFD_FLAG_DEASSIGN)).toBe(0);
    expect(irqfd(e, 5, KVM_IRQFD_FLAG_DEASSIGN)).toBe(0);
    expect(irqfd(-1, 5)).toBe(-EBADF);
    expect(irqfd(vm.fd, 5)).toBe(-EINVAL);
    expect(irqfd(e, 5, 4)).toBe(-EINVAL);
    expect(irqfd(e, 5, KVM_IRQFD_FLAG_RESAMPLE, -1)).toBe(-EBADF);
    expect(host.ioctl(vm.fd, R.KVM_IRQFD, 0)).toBe(-EFAULT);
    expect(model().irqfds.size).toBe(0);
  });

  it("pulses, holds levels until the end of interrupt, and goes with the descriptor", () => {
    vm.createIrqchip();
    const seen: string[] = [];
    model().interrupts = {
      pulse: (g) => seen.push(`pulse ${g}`),
      level: (g, high) => seen.push(`level ${g} ${high}`),
      message: () => false,
    };
    const one = new Uint8Array(new BigUint64Array([1n]).buffer);
    const edge = host.eventfd(1, 0);
    vm.assignIrqFd({ fd: edge, gsi: 4 });
    host.write(edge, one);
    const [level, resample] = [host.eventfd(0, 0), host.eventfd(0, 0)];
    vm.assignIrqFd({ fd: level, gsi: 10, resampleFd: resample });
    host.write(level, one);
    expect(host.read(resample, new Uint8Array(8))).toBe(-EAGAIN);
    model().irqfds.endOfInterrupt(10);
    expect(host.read(resample, new Uint8Array(8))).toBe(8);
    host.close(edge);
    expect(seen).toEqual(["pulse 4", "pulse 4", "level 10 true", "level 10 false"]);
    expect(model().irqfds.size).toBe(1);
  });
});

describe("kvm model: ioeventfd", () => {
  it("refuses writes that two entries would match", () => {
    const e = host.eventfd(0, 0);
    expect(doorbell(4096n, 4, e)).toBe(0);
    expect(doorbell(4096n, 4, e)).toBe(-EEXIST);
    expect(doorbell(4096n, 8, e)).toBe(0);
    expect(doorbell(4096n, 4, e, KVM_IOEVENTFD_FLAG_DATAMATCH, 5n)).toBe(-EEXIST);
    expect(doorbell(8192n, 3, e)).toBe(-EINVAL);
    expect(doorbell(8192n, 0, e)).toBe(0);
    expect(doorbell(8192n, 0, e, KVM_IOEVENTFD_FLAG_DATAMATCH)).toBe(-EINVAL);
    expect(doorbell(8192n, 4, e)).toBe(-EEXIST);
    expect(doorbell(128n, 2, e, KVM_IOEVENTFD_FLAG_PIO)).toBe(0);
    expect(doorbell(128n, 2, e, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN)).toBe(0);
    expect(doorbell(128n, 2, e, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN)).toBe(-ENOENT);
    expect(doorbell(2n ** 64n - 1n, 4, e)).toBe(-EINVAL);
  });

  it("signals only the entry that the write matches", () => {
    const e = host.eventfd(0, 0);
    vm.assignIoEventFd({ fd: e, address: 0x1000n, length: 4, match: 7n });
    expect(model().ioeventfds.write(false, 0x1000n, 4, 6n)).toBe(false);
    expect(model().ioeventfds.write(true, 0x1000n, 4, 7n)).toBe(false);
    expect(model().ioeventfds.write(false, 0x1000n, 4, 7n)).toBe(true);
    expect(host.read(e, new Uint8Array(8))).toBe(8);
    vm.deassignIoEventFd({ fd: e, address: 0x1000n, length: 4, match: 7n });
    expect(model().ioeventfds.size).toBe(0);
  });
});

describe("kvm model: devices", () => {
  const TYPE = 77;
  let released: number;
  beforeEach(() => {
    released = 0;
    kvm.deviceTypes.set(TYPE, () => ({
      kind: "kvm-test",
      has: ({ group }) => (group === 1 ? 0 : -ENXIO),
      set: ({ attr, address, process }) => (process.mm.resolve(address, 4) ? attr : -EFAULT),
      release: () => {
        released++;
      },
    }));
  });

  it("creates, tests and refuses types", () => {
    const create = (type: number, flags = 0): number =>
      host.ioctl(vm.fd, R.KVM_CREATE_DEVICE, kvm_create_device.encode({ type, flags }));
    expect(create(99)).toBe(-ENODEV);
    expect(create(TYPE, KVM_CREATE_DEVICE_TEST)).toBe(0);
    expect(vm.supportsDevice(TYPE)).toBe(true);
    expect(vm.supportsDevice(99)).toBe(false);
    expect(host.ioctl(vm.fd, R.KVM_CREATE_DEVICE, 0)).toBe(-EFAULT);
  });

  it("passes attributes on, has no getter unless the device has one, and keeps the VM alive", () => {
    const device = vm.createDevice(TYPE);
    expect(device.hasAttribute({ group: 1, attr: 0 })).toBe(true);
    expect(device.hasAttribute({ group: 2, attr: 0 })).toBe(false);
    expect(device.trySetAttribute({ group: 1, attr: 3, data: memory(1) })).toBe(3);
    expect(device.trySetAttribute({ group: 1, attr: 3 })).toBe(-EFAULT);
    expect(host.ioctl(device.fd, R.KVM_GET_DEVICE_ATTR, kvm_device_attr.encode({}))).toBe(-EPERM);
    expect(host.ioctl(device.fd, R.KVM_GET_API_VERSION, 0)).toBe(-ENOTTY);
    vm.close();
    expect(kvm.vms.size).toBe(1);
    device.close();
    expect([kvm.vms.size, released]).toEqual([0, 1]);
  });

  it("answers EIO to another address space", () => {
    const other = kernel.spawn();
    const fd = other.install((host.fileOf(vm.fd) as NonNullable<ReturnType<ModelProcess["fileOf"]>>).get());
    expect(other.ioctl(fd, R.KVM_CHECK_EXTENSION, 0)).toBe(-EIO);
  });
});
