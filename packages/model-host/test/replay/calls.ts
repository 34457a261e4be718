// The other calls of recordings: opening, closing, memory, limits, sysfs, transfers. Each returns what the step's call
// would have: a result or -errno, and the fields that can be compared.
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_RDWR, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { MAP_HUGETLB } from "@minivmm/host/model";
import { vfio_region_info, vfioIoctls } from "@minivmm/vfio-core";
import { openEdu, peek, poke, transfer } from "./edu-dma.ts";
import { big, type Step } from "./recording.ts";
import type { Rig } from "./rig.ts";

export interface Answer {
  ret: number;
  out?: Record<string, string | number>;
  /** The result is a descriptor: only its sign is comparable. */
  isFd?: boolean;
}

export type Handler = (rig: Rig, step: Step, next: Step | undefined) => Answer;

const FIRST_BUFFER = 0x2_0000_0000;
const SECOND_BUFFER = 0x2_0100_0000;
const BAR_BUFFER = 0x2_0200_0000;
const HUGE_BUFFER = 0x2_4000_0000;
const HUGE_PAGE = 0x20_0000;
const READ_WRITE = PROT_READ | PROT_WRITE;

function mapAt(rig: Rig, step: Step, address: number, length: number, prot = READ_WRITE, flags = 0): Answer {
  const all = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags;
  const mapping = rig.process(step).mmap({ address: BigInt(address), length, prot, flags: all });
  return { ret: typeof mapping === "number" ? mapping : 0 };
}

function opened(rig: Rig, step: Step, fd: number): Answer {
  if (fd >= 0 && step.args.as !== undefined) rig.fds.set(String(step.args.as), fd);
  return { ret: fd, isFd: true };
}

/** What a step shows of the device's buffer, when memory changed. */
function leftBehind({ out }: Step): string | number {
  return out.probe_after === out.probe_before ? "changed" : (out.probe_after ?? "changed");
}

const marker: Handler = () => ({ ret: 0 });

export const HANDLERS: Readonly<Record<string, Handler>> = {
  open_container: (rig, step) => opened(rig, step, rig.process(step).open("/dev/vfio/vfio", O_RDWR)),
  open_group: (rig, step) => {
    const group = rig.groups[Number(String(step.args.group_of).slice(3))];
    return opened(rig, step, rig.process(step).open(`/dev/vfio/${group}`, O_RDWR));
  },
  close: (rig, step) => {
    const ret = rig.process(step).close(rig.fd(step, step.args.fd));
    rig.fds.delete(String(step.args.fd));
    return { ret };
  },
  VFIO_GROUP_SET_CONTAINER: (rig, step) => {
    const { container } = step.args;
    const process = rig.process(step);
    const request = vfioIoctls(process.arch).VFIO_GROUP_SET_CONTAINER;
    if (container === "NULLPTR") return { ret: process.ioctl(rig.fd(step, step.args.fd), request, 0) };
    const fd =
      container === "/dev/null" ? process.open("/dev/null", O_RDWR) : container === "-1" ? -1 : rig.fd(step, container);
    const arg = new Uint8Array(new Int32Array([fd]).buffer);
    return { ret: process.ioctl(rig.fd(step, step.args.fd), request, arg) };
  },
  VFIO_GROUP_GET_DEVICE_FD: (rig, step) => {
    const process = rig.process(step);
    const name = new TextEncoder().encode(`${rig.bdf(step.args.name as string)}\0`);
    return opened(
      rig,
      step,
      process.ioctl(rig.fd(step, step.args.fd), vfioIoctls(process.arch).VFIO_GROUP_GET_DEVICE_FD, name),
    );
  },
  mmap: (rig, step) => mapAt(rig, step, Number(step.args.addr), Number(step.args.size), Number(step.args.prot)),
  munmap: (rig, step) => ({
    ret: rig.process(step).mm.munmap(Number(step.out.addr), Number(step.out.size ?? rig.pageSize)),
  }),
  mmap_memfd_shared: (rig, step) => mapAt(rig, step, FIRST_BUFFER, 8 * rig.pageSize),
  mmap_untouched: (rig, step) => mapAt(rig, step, SECOND_BUFFER, 4 * rig.pageSize),
  mmap_rootfs_file_shared: (rig, step) => mapAt(rig, step, SECOND_BUFFER, 4 * rig.pageSize),
  // Whether a kernel offers huge pages is its configuration; the recording says.
  mmap_hugetlb_2M: (rig, step) =>
    step.out.ok === 1 ? mapAt(rig, step, HUGE_BUFFER, HUGE_PAGE, READ_WRITE, MAP_HUGETLB) : { ret: 0 },
  mmap_hugetlb_16M: marker,
  mmap_bar0: (rig, step) => {
    const process = rig.process(step);
    const info = vfio_region_info.encode({ argsz: vfio_region_info.size, index: 0 });
    const fd = rig.fd(step, "d0");
    process.ioctl(fd, vfioIoctls(process.arch).VFIO_DEVICE_GET_REGION_INFO, info);
    const size = Number(vfio_region_info.decode(info).size);
    process.mmap({ fd, address: BigInt(BAR_BUFFER), length: size, prot: READ_WRITE, flags: MAP_SHARED | MAP_FIXED });
    return { ret: 0, out: { size: `0x${size.toString(16)}` } };
  },
  setrlimit_MEMLOCK: (rig, step) => ({
    ret: rig.process(step).setrlimit("memlock", { soft: Number(step.args.bytes), hard: Number.POSITIVE_INFINITY }),
  }),
  sysfs_write: (rig, step) => {
    const value = String(step.args.value);
    const ret = rig.process(step).writeFile(`/sys/bus/pci/${step.args.path}`, value);
    return { ret: ret < 0 ? ret : value.length };
  },
  edu_open: (rig, step) => {
    const fd = [...rig.fds].findLast(([name]) => /^d\d/.test(name))?.[1] ?? -1;
    const info = vfio_region_info.encode({ argsz: vfio_region_info.size, index: 0 });
    rig.process(step).ioctl(fd, vfioIoctls(rig.parent.arch).VFIO_DEVICE_GET_REGION_INFO, info);
    const { size, flags } = vfio_region_info.decode(info);
    openEdu(rig, fd);
    // The recorder kept its registers mapped, which keeps the device open after its descriptor is closed.
    rig.process(step).mmap({ fd, length: Number(size), prot: READ_WRITE, flags: MAP_SHARED });
    return { ret: 0, out: { bar0_size: `0x${size.toString(16)}`, bar0_flags: flags } };
  },
  device_dma_read: (rig, step, next) => {
    const iova = big(step.out.iova);
    const from = rig.target(iova);
    // What lay there is what the following write showed; where it showed zeros, the read must not have got it.
    const shown =
      next?.call === "device_dma_write" && rig.target(big(next.out.iova)) !== null ? big(next.out.probe_after) : 0n;
    if (from !== null) poke(rig, from, shown !== 0n ? shown : big(step.out.probe_before));
    transfer(rig, "read", iova);
    rig.bufferKnown = true;
    return { ret: 0 };
  },
  device_dma_write: (rig, step) => {
    const iova = big(step.out.iova);
    const to = rig.target(iova);
    if (to !== null) poke(rig, to, big(step.out.probe_before));
    transfer(rig, "write", iova);
    if (to === null) return { ret: 0 };
    const after = peek(rig, to);
    // Before the first read of a case the device writes what an earlier case left in it: whether it wrote is all.
    const arrived = !rig.bufferKnown && after !== big(step.out.probe_before);
    return { ret: 0, out: { probe_after: arrived ? leftBehind(step) : `0x${after.toString(16)}` } };
  },
  drop_CAP_IPC_LOCK: marker,
  after_close_container: marker,
  after_close_group: marker,
  closed: marker,
  group_closed: marker,
  recreated_slot0: marker,
  container_closed: marker,
  "#end": marker,
};
