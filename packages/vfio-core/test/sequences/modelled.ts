// The modelled kernel behind the same calls: raw ioctls with bytes, as a C program makes them.
import { EINVAL, MAP_PRIVATE, MAP_SHARED } from "@minivmm/host";
import { EventFd, KernelError, type ModelProcess, type OpenFile } from "@minivmm/host/model";
import * as uapi from "../../src/index.ts";
import {
  Type1Iommu,
  type VfioGroup,
  vfioGroupGetExternalUser,
  vfioGroupPutExternalUser,
} from "../../src/model/index.ts";
import { type TestHost, testHost } from "../fixture.ts";
import { ram } from "../type1-fixture.ts";
import * as calls from "./calls.ts";

const { PAGE } = calls;
const page = (count: number) => BigInt(count) * BigInt(PAGE);
const reserved = page(calls.RESERVED_PAGE);

/** The parts of a host that sequences look at. */
export type SequenceHost = Pick<TestHost, "kernel" | "topology" | "core" | "clock">;

/** Counts who listens to an eventfd inside the kernel. */
export interface Listeners {
  live: number;
}

export class ModelledKernel implements calls.Calls {
  readonly host: SequenceHost;
  readonly processes: ModelProcess[] = [];
  readonly external: VfioGroup[] = [];
  readonly listeners = new Map<EventFd, Listeners>();
  /** Address of the first page of data, the same in every process. */
  readonly data: number;
  readonly #ioctls: uapi.VfioIoctls;
  readonly #type1: uapi.Type1Ioctls;
  /** Where each process's mappings start, by id. */
  readonly #mappings: number[][] = [[]];

  /** `snoopControl`: the IOMMU makes all DMA coherent. */
  constructor(
    kernel: calls.Kernel,
    { snoopControl = true, host }: { snoopControl?: boolean; host?: SequenceHost } = {},
  ) {
    this.host = host ?? testHost({ profile: kernel, enforcesSnoop: snoopControl });
    const { core, kernel: frame, topology } = this.host;
    core.iommuDrivers.length = 0;
    const reservedRegions = [{ start: reserved, end: reserved + page(1) - 1n, type: "reserved" as const }];
    const options = { topology, snoopControl, dmaEntryLimit: calls.ENTRIES, reservedRegions };
    core.registerIommuDriver(new Type1Iommu(frame, options));
    this.#ioctls = uapi.vfioIoctls(frame.arch);
    this.#type1 = uapi.type1Ioctls(frame.arch);
    const first = frame.spawn({ memlock: calls.MEMLOCK * PAGE, nofile: calls.NOFILE });
    this.processes.push(first);
    const pages = calls.PAGES + 32;
    this.data = ram(first, pages).address;
    first.mm.mprotect(this.data + calls.PAGES * PAGE, (pages - calls.PAGES) * PAGE, 0);
  }

  openContainer(p: number): number {
    return this.process(p).open("/dev/vfio/vfio", 2);
  }

  openGroup(p: number, bdf: string): number {
    return this.process(p).open(`/dev/vfio/${this.host.topology.get(bdf).group?.id}`, 2);
  }

  eventfd(p: number): number {
    const process = this.process(p);
    const fd = process.eventfd(0, 0);
    const event = EventFd.from(process.fileOf(fd));
    if (event && fd >= 0) this.#listen(event);
    return fd;
  }

  dup(p: number, fd: number): number {
    return this.process(p).dup(fd);
  }

  close(p: number, fd: number): number {
    return this.process(p).close(fd);
  }

  fork(p: number): number {
    this.processes.push(this.process(p).fork());
    this.#mappings.push([...(this.#mappings[p] as number[])]);
    return this.processes.length - 1;
  }

  exit(p: number): number {
    this.process(p).exit();
    return 0;
  }

  checkExtension(p: number, fd: number, extension: number): number {
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_CHECK_EXTENSION, extension);
  }

  setIommu(p: number, fd: number, type: number): number {
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_SET_IOMMU, type);
  }

  status(p: number, fd: number): number {
    const arg = uapi.vfio_group_status.encode({ argsz: 8 });
    const result = this.process(p).ioctl(fd, this.#ioctls.VFIO_GROUP_GET_STATUS, arg);
    return result < 0 ? result : uapi.vfio_group_status.decode(arg).flags;
  }

  setContainer(p: number, fd: number, container: number): number {
    const arg = new Uint8Array(new Int32Array([container]).buffer);
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_GROUP_SET_CONTAINER, arg);
  }

  unsetContainer(p: number, fd: number): number {
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_GROUP_UNSET_CONTAINER);
  }

  deviceFd(p: number, fd: number, name: string): number {
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${name}\0`));
  }

  map(p: number, fd: number, { iova, vaddr, pages, flags }: calls.MapCall): number {
    const at = { vaddr: BigInt(this.data) + page(vaddr), iova: page(iova), size: page(pages) };
    const arg = uapi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags, ...at });
    return this.process(p).ioctl(fd, this.#type1.VFIO_IOMMU_MAP_DMA, arg);
  }

  unmap(p: number, fd: number, { iova, pages, flags }: calls.UnmapCall): number {
    const arg = new Uint8Array(uapi.vfio_iommu_type1_dma_unmap.size + uapi.vfio_bitmap.size);
    const unmap = { argsz: arg.length, flags, iova: page(iova), size: page(pages) };
    uapi.vfio_iommu_type1_dma_unmap.encode(unmap, arg);
    uapi.vfio_bitmap.encode(this.#bitmap(), arg.subarray(uapi.vfio_iommu_type1_dma_unmap.size));
    const result = this.process(p).ioctl(fd, this.#type1.VFIO_IOMMU_UNMAP_DMA, arg);
    return result < 0 ? result : Number(uapi.vfio_iommu_type1_dma_unmap.decode(arg).size) / PAGE;
  }

  dirty(p: number, fd: number, flags: number): number {
    const arg = uapi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 8, flags });
    return this.process(p).ioctl(fd, this.#type1.VFIO_IOMMU_DIRTY_PAGES, arg);
  }

  bitmap(p: number, fd: number, iova: number, pages: number, mapped: readonly number[]): number {
    const process = this.process(p);
    process.mm.write(this.data, new Uint8Array(8));
    const arg = new Uint8Array(48);
    uapi.vfio_iommu_type1_dirty_bitmap.encode({ argsz: 48, flags: 4 }, arg);
    const get = { iova: page(iova), size: page(pages), bitmap: this.#bitmap() };
    uapi.vfio_iommu_type1_dirty_bitmap_get.encode(get, arg.subarray(8));
    const result = process.ioctl(fd, this.#type1.VFIO_IOMMU_DIRTY_PAGES, arg);
    if (result < 0) return result;
    const bits = new Uint8Array(8);
    process.mm.read(this.data, bits);
    return mapped.filter((at) => at >= iova && at < iova + pages && isSet(bits, at - iova)).length;
  }

  setIrqs(p: number, fd: number, { index, flags, start, count, data }: calls.IrqCall): number {
    const arg = new Uint8Array(20 + 4 * data.length);
    uapi.vfio_irq_set.encode({ argsz: arg.length, flags, index, start, count }, arg);
    if ((flags & 7) === 2) arg.set(data, 20);
    else arg.set(new Uint8Array(Int32Array.from(data).buffer), 20);
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_DEVICE_SET_IRQS, arg);
  }

  ioeventfd(p: number, fd: number, data: number, event: number): number {
    const request = { argsz: 32, flags: 4, offset: 4n, data: BigInt(data), fd: event };
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_DEVICE_IOEVENTFD, uapi.vfio_device_ioeventfd.encode(request));
  }

  signal(p: number, fd: number, count: number): number {
    return this.process(p).write(fd, new Uint8Array(new BigUint64Array([BigInt(count)]).buffer));
  }

  reset(p: number, fd: number): number {
    return this.process(p).ioctl(fd, this.#ioctls.VFIO_DEVICE_RESET);
  }

  mmap(p: number, fd: number, { bar, page: from, pages, shared }: calls.MmapCall): number {
    const offset = bar * uapi.VFIO_PCI_OFFSET_SIZE + from * PAGE;
    const flags = shared ? MAP_SHARED : MAP_PRIVATE;
    const mapping = this.process(p).mmap({ length: pages * PAGE, prot: 3, flags, fd, offset });
    if (typeof mapping === "number") return mapping;
    (this.#mappings[p] as number[]).push(Number(mapping.address) - from * PAGE);
    return 0;
  }

  munmap(p: number, id: number, from: number, pages: number): number {
    const base = this.#mappings[p]?.[id];
    return base === undefined ? -EINVAL : this.process(p).mm.munmap(base + from * PAGE, pages * PAGE);
  }

  bind(bdf: string, driver: string): number {
    return this.host.core.bind(bdf, driver);
  }

  unbind(bdf: string): number {
    return this.host.core.unbind(bdf);
  }

  tenSeconds(): number {
    this.host.clock.advance(10_000);
    return 0;
  }

  externalGet(p: number, fd: number): number {
    const file = this.process(p).fileOf(fd);
    if (!file) return -9;
    try {
      this.external.push(vfioGroupGetExternalUser(file));
      return 0;
    } catch (error) {
      if (error instanceof KernelError) return -error.errno;
      throw error;
    }
  }

  externalPut(n: number): number {
    const [group] = this.external.splice(n, 1);
    if (group) vfioGroupPutExternalUser(group);
    return 0;
  }

  fileOf(p: number, fd: number): OpenFile | undefined {
    return this.process(p).fileOf(fd);
  }

  process(p: number): ModelProcess {
    return this.processes[p] as ModelProcess;
  }

  #bitmap() {
    return { pgsize: page(1), size: 8n, data: BigInt(this.data) };
  }

  #listen(event: EventFd): void {
    const listeners = { live: 0 };
    this.listeners.set(event, listeners);
    const { onWake } = event;
    event.onWake = (callback) => {
      const subscription = onWake.call(event, callback);
      let open = true;
      listeners.live++;
      return {
        close() {
          if (open) listeners.live--;
          open = false;
          subscription.close();
        },
      };
    };
  }
}

function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >> 3] as number) & (1 << (at & 7))) !== 0;
}
