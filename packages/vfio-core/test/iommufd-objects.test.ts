// Numbers, sizes of structs, and who may be destroyed when.
import { E2BIG, EBUSY, EFAULT, EINVAL, EMFILE, ENOENT, ENOTTY, EOPNOTSUPP, EPERM, ESPIPE, O_RDWR } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import * as uapi from "../src/uapi-iommufd.ts";
import { EDU } from "./fixture.ts";
import { iommufdHost, rawIommufd, rawNode } from "./iommufd-fixture.ts";

const ioctls = uapi.iommufdIoctls("x86_64");

describe("vfio-core iommufd: commands", () => {
  it("are numbered from 0x3b80 on and unknown numbers are ENOTTY", () => {
    const { process, fd } = iommufdHost();
    expect(ioctls.IOMMU_DESTROY).toBe(0x3b80);
    expect(ioctls.IOMMU_FAULT_QUEUE_ALLOC).toBe(0x3b8e);
    expect(process.ioctl(fd, 0x3b8f, new Uint8Array(8))).toBe(-ENOTTY);
    expect(process.ioctl(fd, 0x3c80, new Uint8Array(8))).toBe(-ENOTTY);
    expect(process.ioctl(fd, 0x3c80, 8)).toBe(-EFAULT);
  });

  it("take a struct that is shorter, or longer with zeros", () => {
    const { process, fd } = iommufdHost();
    const alloc = (length: number, size = length, tail = 0) => {
      const arg = new Uint8Array(length);
      arg.set(new Uint8Array(new Uint32Array([size]).buffer).subarray(0, length));
      if (length > 12) arg[length - 1] = tail;
      return process.ioctl(fd, ioctls.IOMMU_IOAS_ALLOC, arg);
    };
    expect(alloc(3)).toBe(-EFAULT);
    expect(alloc(8)).toBe(-EINVAL);
    expect(alloc(12)).toBe(0);
    expect(alloc(64)).toBe(0);
    expect(alloc(64, 64, 1)).toBe(-E2BIG);
    expect(alloc(20000, 20000, 1)).toBe(-E2BIG);
    expect(alloc(64, 65)).toBe(-EFAULT);
    expect(alloc(64, 0xffff_ffff)).toBe(-EFAULT);
    expect(alloc(64, 0xffff_ffff, 1)).toBe(-E2BIG);
  });

  it("a first version's HWPT_ALLOC ends before the user data", () => {
    const { process, fd, io } = iommufdHost();
    const node = rawNode(process, EDU);
    const dev_id = node.bind(fd);
    const pt_id = io.alloc();
    const whole = uapi.iommu_hwpt_alloc.encode({ size: 24, dev_id, pt_id });
    const arg = whole.slice(0, 24);
    expect(process.ioctl(fd, ioctls.IOMMU_HWPT_ALLOC, arg)).toBe(0);
    expect(new DataView(arg.buffer).getUint32(16, true)).toBe(3);
  });
});

describe("vfio-core iommufd: objects", () => {
  it("get the lowest free number from 1 on, also after a failed call", () => {
    const { io, process, fd } = iommufdHost();
    expect([io.alloc(), io.alloc(), io.alloc()]).toEqual([1, 2, 3]);
    expect(io.destroy(2)).toBe(0);
    expect(io.destroy(2)).toBe(-ENOENT);
    expect(io.destroy(0)).toBe(-ENOENT);
    const readOnly = process.mmap({ length: 4096, prot: 1, flags: 0x22 });
    if (typeof readOnly === "number" || !readOnly.bytes) throw new Error("no memory");
    readOnly.bytes.set(uapi.iommu_ioas_alloc.encode({ size: 12 }));
    expect(process.ioctl(fd, ioctls.IOMMU_IOAS_ALLOC, readOnly.address)).toBe(-EFAULT);
    expect(io.alloc()).toBe(2);
  });

  it("of other kinds, or of another iommufd, are not found", () => {
    const { io, process, fd } = iommufdHost();
    const device = rawNode(process, EDU).bind(fd);
    const other = rawIommufd(process, process.open("/dev/iommu", O_RDWR));
    const ioas = other.alloc();
    expect(ioas).toBe(1);
    expect(io.map(device, {})).toBe(-ENOENT);
    expect(other.destroy(2)).toBe(-ENOENT);
    expect(io.alloc()).toBe(2);
  });

  it("stay while something needs them", () => {
    const { io, process, fd } = iommufdHost();
    const node = rawNode(process, EDU);
    const device = node.bind(fd);
    const ioas = io.alloc();
    const hwpt = node.attach(ioas);
    expect([device, ioas, hwpt]).toEqual([1, 2, 3]);
    expect([io.destroy(device), io.destroy(ioas), io.destroy(hwpt)]).toEqual([-EBUSY, -EBUSY, -EBUSY]);
    expect(node.detach()).toBe(0);
    // The table that attaching made has gone with its last device.
    expect(io.destroy(hwpt)).toBe(-ENOENT);
    expect(io.destroy(ioas)).toBe(0);
    expect(io.destroy(device)).toBe(-EBUSY);
    node.close();
    expect(io.destroy(device)).toBe(-ENOENT);
  });

  it("flags and reserved fields from the future are EOPNOTSUPP", () => {
    const { io } = iommufdHost();
    const ioas_id = io.alloc();
    expect(io.call("IOMMU_IOAS_ALLOC", uapi.iommu_ioas_alloc, { flags: 1 }).result).toBe(-EOPNOTSUPP);
    const map = { ioas_id, user_va: 0x10000n, length: 4096n };
    expect(io.call("IOMMU_IOAS_MAP", uapi.iommu_ioas_map, { ...map, flags: 8 }).result).toBe(-EOPNOTSUPP);
    expect(io.call("IOMMU_IOAS_MAP", uapi.iommu_ioas_map, { ...map, flags: 2, __reserved: 1 }).result).toBe(
      -EOPNOTSUPP,
    );
    expect(io.call("IOMMU_IOAS_COPY", uapi.iommu_ioas_copy, { flags: 8 }).result).toBe(-EOPNOTSUPP);
    expect(io.call("IOMMU_IOAS_ALLOW_IOVAS", uapi.iommu_ioas_allow_iovas, { ioas_id, __reserved: 1 }).result).toBe(
      -EOPNOTSUPP,
    );
  });

  it("a fault queue is a descriptor that stays empty, and holds the iommufd open", () => {
    const { io, process, fd } = iommufdHost();
    const reply = io.call("IOMMU_FAULT_QUEUE_ALLOC", uapi.iommu_fault_alloc, {});
    expect(reply.result).toBe(0);
    const queue = reply.out_fault_fd;
    expect(process.read(queue, new Uint8Array(40))).toBe(0);
    expect(process.read(queue, new Uint8Array(41))).toBe(-ESPIPE);
    expect(process.write(queue, new Uint8Array(8))).toBe(-EINVAL);
    expect(process.write(queue, new Uint8Array(7))).toBe(-ESPIPE);
    expect(io.destroy(reply.out_fault_id)).toBe(-EBUSY);
    const file = process.fileOf(fd);
    expect(file?.refs).toBe(2);
    process.close(queue);
    expect(io.destroy(reply.out_fault_id)).toBe(0);
    expect(file?.refs).toBe(1);
    expect(io.call("IOMMU_FAULT_QUEUE_ALLOC", uapi.iommu_fault_alloc, { flags: 1 }).result).toBe(-EOPNOTSUPP);
    process.setrlimit("nofile", { soft: 0, hard: 0 });
    expect(io.call("IOMMU_FAULT_QUEUE_ALLOC", uapi.iommu_fault_alloc, {}).result).toBe(-EMFILE);
    expect(io.alloc()).toBe(1);
  });
});

describe("vfio-core iommufd: options", () => {
  const { IOMMU_OPTION_OP_GET: GET, IOMMU_OPTION_OP_SET: SET } = uapi;
  const { IOMMU_OPTION_RLIMIT_MODE: RLIMIT, IOMMU_OPTION_HUGE_PAGES: HUGE } = uapi;

  it("the rlimit mode needs CAP_SYS_RESOURCE and no object", () => {
    const { io } = iommufdHost();
    expect(io.option(GET, RLIMIT, 0)).toBe(0);
    expect(io.option(SET, RLIMIT, 0, 1n)).toBe(-EPERM);
    expect(io.option(GET, RLIMIT, 1)).toBe(-EOPNOTSUPP);
    expect(io.option(2, RLIMIT, 0)).toBe(-EOPNOTSUPP);
    expect(io.option(GET, 2, 0)).toBe(-EOPNOTSUPP);
    const able = iommufdHost({ capabilities: ["SYS_RESOURCE"] }).io;
    expect(able.option(SET, RLIMIT, 0, 2n)).toBe(-EINVAL);
    expect(able.option(SET, RLIMIT, 0, 1n)).toBe(1);
    expect(able.option(GET, RLIMIT, 0)).toBe(1);
    able.alloc();
    expect(able.option(SET, RLIMIT, 0, 0n)).toBe(-EBUSY);
  });

  it("huge pages are an address space's, and cannot go under mapped hardware", () => {
    const { io, process, fd } = iommufdHost();
    const ioas = io.alloc();
    expect(io.option(GET, HUGE, ioas)).toBe(1);
    expect(io.option(GET, HUGE, 9)).toBe(-ENOENT);
    expect(io.option(SET, HUGE, ioas, 2n)).toBe(-EINVAL);
    expect(io.option(2, HUGE, ioas)).toBe(-EOPNOTSUPP);
    expect(io.option(SET, HUGE, ioas, 0n)).toBe(0);
    expect(io.ranges(ioas).alignment).toBe(4096);
    expect(io.option(SET, HUGE, ioas, 1n)).toBe(1);
    expect(io.ranges(ioas).alignment).toBe(1);
    const node = rawNode(process, EDU);
    node.bind(fd);
    node.attach(ioas);
    const memory = process.addressOf(new Uint8Array(new SharedArrayBuffer(4096)));
    expect(io.map(ioas, { va: memory, iova: 0 })).toBe(0);
    expect(io.option(SET, HUGE, ioas, 0n)).toBe(-EINVAL);
    io.unmapAll(ioas);
    expect(io.option(SET, HUGE, ioas, 0n)).toBe(0);
  });
});
