// A modelled host whose kernel has iommufd and device nodes, and both interfaces as raw calls with plain numbers: tests of
// rules look at return values, not at the client's errors.
import { O_CLOEXEC, O_RDWR, type StructType } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import type { IommufdOptions } from "../src/model/index.ts";
import { vfioIoctls } from "../src/uapi.ts";
import * as cdev from "../src/uapi-cdev.ts";
import * as uapi from "../src/uapi-iommufd.ts";
import { type TestHostOptions, testHost } from "./fixture.ts";

export interface IommufdHostOptions extends Omit<TestHostOptions, "iommufd" | "deviceCdev"> {
  iommufd?: IommufdOptions;
  capabilities?: string[];
  memlock?: number;
}

export const FIXED = uapi.IOMMU_IOAS_MAP_FIXED_IOVA;
export const WRITE = uapi.IOMMU_IOAS_MAP_WRITEABLE;
export const READ = uapi.IOMMU_IOAS_MAP_READABLE;
export const RW = READ | WRITE;

/** The host with one open iommufd. The process has no CAP_IPC_LOCK unless said. */
export function iommufdHost(options: IommufdHostOptions = {}) {
  const { iommufd = {}, capabilities = ["SYS_RAWIO"], memlock, ...rest } = options;
  const host = testHost({ ...rest, iommufd, deviceCdev: true });
  const process = host.kernel.spawn({ capabilities, ...(memlock === undefined ? {} : { memlock }) });
  const fd = process.open("/dev/iommu", O_RDWR | O_CLOEXEC);
  if (fd < 0) throw new Error(`no iommufd: ${fd}`);
  return { ...host, process, fd, io: rawIommufd(process, fd) };
}

export type RawIommufd = ReturnType<typeof rawIommufd>;

/** Results of `call` are the ioctl's; the struct comes back with them. */
export function rawIommufd(process: ModelProcess, fd: number) {
  const ioctls = uapi.iommufdIoctls(process.arch);
  const call = <V extends { size: number }>(name: uapi.IommufdCommand, struct: StructType<V>, value: Partial<V>) => {
    const arg = struct.encode({ size: struct.size, ...value } as Partial<V>);
    const result = process.ioctl(fd, ioctls[name], arg);
    return { ...struct.decode(arg), result };
  };
  return {
    call,
    by: (other: ModelProcess) => rawIommufd(other, fd),
    /** An id, or -errno. */
    alloc: () => {
      const { result, out_ioas_id } = call("IOMMU_IOAS_ALLOC", uapi.iommu_ioas_alloc, {});
      return result < 0 ? result : out_ioas_id;
    },
    destroy: (id: number) => call("IOMMU_DESTROY", uapi.iommu_destroy, { id }).result,
    /** The IOVA as a number, or -errno. */
    map(ioas: number, map: { va?: number | bigint; size?: number | bigint; iova?: number | bigint; flags?: number }) {
      const { va = 0x10000, size = 4096, iova, flags = RW } = map;
      const value = {
        flags: flags | (iova === undefined ? 0 : FIXED),
        ioas_id: ioas,
        user_va: BigInt(va),
        length: BigInt(size),
        iova: BigInt(iova ?? 0),
      };
      const reply = call("IOMMU_IOAS_MAP", uapi.iommu_ioas_map, value);
      return reply.result < 0 ? reply.result : Number(reply.iova);
    },
    copy(copy: {
      from: number;
      to: number;
      src: number | bigint;
      size: number | bigint;
      dst?: number | bigint;
      flags?: number;
    }) {
      const { from, to, src, size, dst, flags = RW } = copy;
      const value = {
        flags: flags | (dst === undefined ? 0 : FIXED),
        src_ioas_id: from,
        dst_ioas_id: to,
        length: BigInt(size),
        src_iova: BigInt(src),
        dst_iova: BigInt(dst ?? 0),
      };
      const reply = call("IOMMU_IOAS_COPY", uapi.iommu_ioas_copy, value);
      return reply.result < 0 ? reply.result : Number(reply.dst_iova);
    },
    /** Bytes, or -errno; a refused call leaves the struct alone. */
    unmap(ioas: number, iova: number | bigint, size: number | bigint) {
      const value = { ioas_id: ioas, iova: BigInt(iova), length: BigInt(size) };
      const reply = call("IOMMU_IOAS_UNMAP", uapi.iommu_ioas_unmap, value);
      if (reply.result < 0 && reply.length !== value.length) throw new Error("a failed unmap wrote to its struct");
      return reply.result < 0 ? reply.result : Number(reply.length);
    },
    unmapAll: (ioas: number) => rawIommufd(process, fd).unmap(ioas, 0, 0xffff_ffff_ffff_ffffn),
    option(op: number, option_id: number, object_id: number, val64 = 0n) {
      const reply = call("IOMMU_OPTION", uapi.iommu_option, { op, option_id, object_id, val64 });
      return reply.result < 0 ? reply.result : Number(reply.val64);
    },
    /** Ranges as [first, last] in hexadecimal, and the alignment. */
    ranges(ioas: number, room = 8) {
      const list = uapi.iommu_iova_range;
      const array = new Uint8Array(new SharedArrayBuffer(Math.max(room, 1) * list.size));
      const reply = call("IOMMU_IOAS_IOVA_RANGES", uapi.iommu_ioas_iova_ranges, {
        ioas_id: ioas,
        num_iovas: room,
        allowed_iovas: process.addressOf(array),
      });
      const shown = Array.from({ length: Math.min(reply.num_iovas, room) }, (_, i) =>
        list.decode(array, i * list.size),
      );
      const ranges = shown.map(({ start, last }) => `${start.toString(16)}-${last.toString(16)}`);
      return { result: reply.result, count: reply.num_iovas, alignment: Number(reply.out_iova_alignment), ranges };
    },
    allow(ioas: number, ranges: readonly (readonly [number | bigint, number | bigint])[]) {
      const list = uapi.iommu_iova_range;
      const array = new Uint8Array(new SharedArrayBuffer(Math.max(ranges.length, 1) * list.size));
      ranges.forEach(([start, last], i) => {
        array.set(list.encode({ start: BigInt(start), last: BigInt(last) }), i * list.size);
      });
      const allowed_iovas = process.addressOf(array);
      const value = { ioas_id: ioas, num_iovas: ranges.length, allowed_iovas };
      return call("IOMMU_IOAS_ALLOW_IOVAS", uapi.iommu_ioas_allow_iovas, value).result;
    },
  };
}

/** Name of the class device: vfioX. */
export function nodeName(process: ModelProcess, bdf: string): string {
  const names = process.readdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`);
  if (typeof names === "number") throw new Error(`${bdf} is no VFIO device`);
  return names[0] as string;
}

/** An open device node, not bound yet, with its three ioctls. */
export function rawNode(process: ModelProcess, bdf: string) {
  const fd = process.open(`/dev/vfio/devices/${nodeName(process, bdf)}`, O_RDWR | O_CLOEXEC);
  return { fd, ...rawDevice(process, fd), close: () => process.close(fd) };
}

export function rawDevice(process: ModelProcess, fd: number) {
  const ioctls = vfioIoctls(process.arch);
  return {
    /** The device's id, or -errno. */
    bind(iommufd: number, { argsz = 16, flags = 0 } = {}) {
      const struct = cdev.vfio_device_bind_iommufd;
      const arg = struct.encode({ argsz, flags, iommufd });
      const result = process.ioctl(fd, ioctls.VFIO_DEVICE_BIND_IOMMUFD, arg);
      return result < 0 ? result : struct.decode(arg).out_devid;
    },
    /** The page table's id, or -errno. */
    attach(pt_id: number, { argsz = 12, flags = 0 } = {}) {
      const struct = cdev.vfio_device_attach_iommufd_pt;
      const arg = struct.encode({ argsz, flags, pt_id });
      const result = process.ioctl(fd, ioctls.VFIO_DEVICE_ATTACH_IOMMUFD_PT, arg);
      return result < 0 ? result : struct.decode(arg).pt_id;
    },
    detach({ argsz = 8, flags = 0 } = {}) {
      const arg = cdev.vfio_device_detach_iommufd_pt.encode({ argsz, flags });
      return process.ioctl(fd, ioctls.VFIO_DEVICE_DETACH_IOMMUFD_PT, arg);
    },
  };
}
