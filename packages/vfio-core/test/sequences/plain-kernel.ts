// The reference kernel: descriptors, groups, containers, devices and drivers by their rules alone, with references
// counted the obvious way. Refusals come in the kernel's order (drivers/vfio/group.c, container.c, vfio_main.c).
import { EAGAIN, EBADF, EBUSY, EINVAL, EMFILE, ENODEV, ENOENT, EPERM } from "@minivmm/host";
import type { Calls, IrqCall, Kernel, MapCall, MmapCall, UnmapCall } from "./calls.ts";
import { type IrqCounts, PlainInterrupts, signal } from "./plain-irqs.ts";
import * as plain from "./plain-objects.ts";
import { PlainProcesses } from "./plain-processes.ts";
import { PlainType1 } from "./plain-type1.ts";

const EBADFD = 77;
const VIABLE = 1;
const CONTAINER_SET = 2;
/** Drivers that leave a group's DMA to user space. */
const HANDS_OFF = new Set(["vfio-pci", "pci-stub", "pcieport"]);
const ALWAYS = new Set([1, 3, 6, 9]);
const DMA_CC = 4;
const UPDATE_VADDR = 10;

export interface PlainDescription {
  readonly kernel: Kernel;
  /** The IOMMU makes all DMA coherent. */
  readonly snoops: boolean;
  readonly functions: readonly plain.PlainFunction[];
  /** Vectors of each interrupt index. */
  irqCounts(bdf: string): IrqCounts;
  /** Pages of a BAR that can be mapped, 0 for none. */
  mappablePages(bdf: string, bar: number): number;
  /** VFIO_DEVICE_RESET works. */
  resets(bdf: string): boolean;
}

export class PlainKernel extends PlainProcesses implements Calls {
  readonly description: PlainDescription;
  /** VFIO groups with a device, by IOMMU group. */
  readonly groups = new Map<number, plain.PlainGroup>();
  /** Whose the DMA of an IOMMU group is. */
  readonly owners = new Map<number, plain.PlainGroup>();
  readonly external: plain.PlainGroup[] = [];
  readonly type1 = new PlainType1();
  readonly #irqs: PlainInterrupts;

  constructor(description: PlainDescription) {
    super();
    this.description = description;
    this.#irqs = new PlainInterrupts(description.kernel, description.irqCounts);
    for (const fn of description.functions) if (fn.driver === "vfio-pci") this.#register(fn);
  }

  get #historical(): boolean {
    return this.description.kernel === "4.12";
  }

  openContainer(p: number): number {
    return this.install(p, { kind: "container", container: { groups: [], type: 0, mappings: [], tracking: false } });
  }

  openGroup(p: number, bdf: string): number {
    if (this.process(p).lowestFd() < 0) return -EMFILE;
    const group = this.groups.get(this.#function(bdf).group);
    if (!group) return -ENOENT;
    if (group.file || group.container) return -EBUSY;
    const fd = this.install(p, { kind: "group", group });
    group.file = this.process(p).fds.get(fd) ?? null;
    return fd;
  }

  eventfd(p: number): number {
    return this.install(p, { kind: "eventfd", event: { count: 0, waiters: 0 } });
  }

  checkExtension(p: number, fd: number, extension: number): number {
    return this.ioctl(p, fd, "container", ({ container }) => {
      const ready = container.type !== 0;
      if (extension === DMA_CC) return ready && this.description.snoops ? 1 : 0;
      return ALWAYS.has(extension) || (ready && extension === UPDATE_VADDR) ? 1 : 0;
    });
  }

  setIommu(p: number, fd: number, type: number): number {
    return this.ioctl(p, fd, "container", ({ container }) => {
      if (container.groups.length === 0 || container.type !== 0) return -EINVAL;
      if (!ALWAYS.has(type)) return -ENODEV;
      // 6 wants hardware that nests, 9 is an extension but no type.
      if (type !== 1 && type !== 3) return -EINVAL;
      this.type1.start(container, type);
      return 0;
    });
  }

  status(p: number, fd: number): number {
    return this.ioctl(p, fd, "group", ({ group }) => {
      if (group.devices.length === 0) return -ENODEV;
      return (group.container ? CONTAINER_SET : 0) | (this.viable(group) ? VIABLE : 0);
    });
  }

  setContainer(p: number, fd: number, other: number): number {
    return this.ioctl(p, fd, "group", ({ group }) => {
      if (this.#historical && (other < 0 || group.container)) return -EINVAL;
      const file = this.process(p).fds.get(other);
      if (!file) return -EBADF;
      if (group.container) return -EINVAL;
      if (group.devices.length === 0) return -ENODEV;
      if (file.behind.kind !== "container") return this.description.kernel === "6.12" ? -EBADFD : -EINVAL;
      const { container } = file.behind;
      const free = !this.owners.has(group.id) && this.#handedOver(group.id);
      if (!free && !this.#historical) return -EPERM;
      const refused = container.type === 0 ? 0 : this.type1.mayJoin(container);
      if (refused !== 0) return refused;
      if (free) this.owners.set(group.id, group);
      container.groups.push(group);
      group.container = container;
      group.users = 1;
      return 0;
    });
  }

  unsetContainer(p: number, fd: number): number {
    return this.ioctl(p, fd, "group", ({ group }) => {
      if (!group.container) return -EINVAL;
      if (group.users !== 1) return -EBUSY;
      this.#detach(group);
      return 0;
    });
  }

  deviceFd(p: number, fd: number, name: string): number {
    return this.ioctl(p, fd, "group", ({ group }) => {
      const usable = group.container !== null && group.container.type !== 0;
      if (this.#historical && !(usable && this.viable(group))) return -EINVAL;
      const device = group.devices.find((each) => each.fn.bdf === name);
      if (!device || (device.fn.waiting && this.description.kernel === "6.12")) return -ENODEV;
      if (this.process(p).lowestFd() < 0) return -EMFILE;
      if (!usable) return -EINVAL;
      if (device.open++ === 0) {
        group.users++;
        device.groupFile = group.file;
        if (group.file) group.file.refs++;
        this.opened(device);
      }
      return this.install(p, { kind: "device", device });
    });
  }

  map(p: number, fd: number, call: MapCall): number {
    return this.#ready(p, fd, (container) => this.type1.map(container, this.process(p), call));
  }

  unmap(p: number, fd: number, call: UnmapCall): number {
    return this.#ready(p, fd, (container) => this.type1.unmap(container, call));
  }

  dirty(p: number, fd: number, flags: number): number {
    return this.#ready(p, fd, (container) => this.type1.dirty(container, flags));
  }

  bitmap(p: number, fd: number, iova: number, pages: number): number {
    return this.#ready(p, fd, (container) => this.type1.bitmap(container, iova, pages));
  }

  setIrqs(p: number, fd: number, call: IrqCall): number {
    return this.ioctl(p, fd, "device", ({ device }) => this.#irqs.set(device, this.process(p), call));
  }

  ioeventfd(p: number, fd: number, data: number, event: number): number {
    return this.ioctl(p, fd, "device", ({ device }) => this.#irqs.ioeventfd(device, this.process(p), data, event));
  }

  signal(p: number, fd: number, count: number): number {
    const file = this.process(p).fds.get(fd);
    if (!file) return -EBADF;
    if (file.behind.kind !== "eventfd") return -EINVAL;
    signal(file.behind.event, count);
    return 8;
  }

  reset(p: number, fd: number): number {
    return this.ioctl(p, fd, "device", ({ device }) => {
      if (!this.description.resets(device.fn.bdf)) return -EINVAL;
      // Whoever unbinds it has its lock.
      return device.fn.waiting ? -EAGAIN : 0;
    });
  }

  mmap(p: number, fd: number, { bar, page, pages, shared }: MmapCall): number {
    const process = this.process(p);
    const file = process.fds.get(fd);
    if (!file) return -EBADF;
    if (file.behind.kind !== "device") return -ENODEV;
    const room = this.description.mappablePages(file.behind.device.fn.bdf, bar);
    if (!shared || page + pages > room) return -EINVAL;
    file.refs++;
    process.areas.push({ id: process.mmaps++, from: page, to: page + pages, file });
    return 0;
  }

  munmap(p: number, id: number, page: number, pages: number): number {
    const process = this.process(p);
    for (const area of [...process.areas]) {
      const { from, to, file } = area;
      if (area.id !== id || from >= page + pages || to <= page) continue;
      const left = [
        { id, from, to: page, file },
        { id, from: page + pages, to, file },
      ].filter((each) => each.from < each.to);
      file.refs += left.length;
      process.areas.splice(process.areas.indexOf(area), 1, ...left);
      file.put();
    }
    return 0;
  }

  bind(bdf: string, driver: string): number {
    const fn = this.#function(bdf);
    if (fn.waiting) return later(fn.waiting, () => this.bind(bdf, driver));
    if (fn.driver !== null || (this.owners.has(fn.group) && !HANDS_OFF.has(driver))) return -EBUSY;
    fn.driver = driver;
    if (driver === "vfio-pci") this.#register(fn);
    return 0;
  }

  unbind(bdf: string): number {
    const fn = this.#function(bdf);
    if (fn.driver === null) return -ENODEV;
    if (fn.waiting) return later(fn.waiting, () => this.unbind(bdf));
    const { device } = fn;
    if (!device || device.open === 0) {
      this.#unbound(fn);
      return 0;
    }
    fn.waiting = [];
    if (device.irqs.req) signal(device.irqs.req);
    return 0;
  }

  tenSeconds(): number {
    for (const { device, waiting } of this.description.functions) {
      if (waiting && device?.irqs.req) signal(device.irqs.req);
    }
    return 0;
  }

  externalGet(p: number, fd: number): number {
    const file = this.process(p).fds.get(fd);
    if (!file) return -EBADF;
    if (file.behind.kind !== "group") return -EINVAL;
    const { group } = file.behind;
    if (group.users === 0 || !group.container || group.container.type === 0 || !this.viable(group)) return -EINVAL;
    group.users++;
    this.external.push(group);
    return 0;
  }

  externalPut(n: number): number {
    const [group] = this.external.splice(n, 1);
    if (group) this.putUser(group);
    return 0;
  }

  #function(bdf: string): plain.PlainFunction {
    return this.description.functions.find((fn) => fn.bdf === bdf) as plain.PlainFunction;
  }

  /** For packages above: a device was opened first, or closed last. */
  protected opened(_device: plain.PlainDevice): void {}
  protected closed(_device: plain.PlainDevice): void {}

  #ready(p: number, fd: number, run: (container: plain.PlainContainer) => number): number {
    return this.ioctl(p, fd, "container", ({ container }) => (container.type === 0 ? -EINVAL : run(container)));
  }

  protected released(file: plain.PlainFile): void {
    const { behind } = file;
    if (behind.kind === "group") {
      behind.group.file = null;
      this.putUser(behind.group);
    } else if (behind.kind === "device") {
      this.#closed(behind.device);
    } else if (behind.kind === "eventfd") {
      behind.event.waiters = 0;
      for (const { device } of this.description.functions) if (device) this.#irqs.hungUp(device, file);
    } else if (behind.kind === "foreign") {
      behind.released();
    }
  }

  #closed(device: plain.PlainDevice): void {
    if (--device.open > 0) return;
    this.#irqs.clear(device);
    this.closed(device);
    this.putUser(device.group);
    device.groupFile?.put();
    device.groupFile = null;
    if (device.fn.waiting) this.#unbound(device.fn);
  }

  #handedOver(group: number): boolean {
    return this.description.functions.every((fn) => fn.group !== group || !fn.driver || HANDS_OFF.has(fn.driver));
  }

  protected viable(group: plain.PlainGroup): boolean {
    const owner = this.owners.get(group.id);
    return (!owner || owner === group) && this.#handedOver(group.id);
  }

  /** One user of the group's container fewer. */
  protected putUser(group: plain.PlainGroup): void {
    if (group.container && --group.users === 0) this.#detach(group);
  }

  #detach(group: plain.PlainGroup): void {
    const container = group.container as plain.PlainContainer;
    container.groups.splice(container.groups.indexOf(group), 1);
    if (container.groups.length === 0) this.type1.stop(container);
    group.container = null;
    group.users = 0;
    if (this.owners.get(group.id) === group) this.owners.delete(group.id);
  }

  #register(fn: plain.PlainFunction): void {
    let group = this.groups.get(fn.group);
    if (!group) {
      group = { id: fn.group, devices: [], file: null, container: null, users: 0 };
      this.groups.set(group.id, group);
    }
    fn.device = { fn, group, open: 0, groupFile: null, irqs: plain.noIrqs() };
    group.devices.push(fn.device);
  }

  #unbound(fn: plain.PlainFunction): void {
    const { device } = fn;
    fn.driver = null;
    fn.device = null;
    if (device) this.#leave(device.group, device);
    const turns = fn.waiting ?? [];
    fn.waiting = null;
    for (const turn of turns) turn();
  }

  #leave(group: plain.PlainGroup, device: plain.PlainDevice): void {
    group.devices.splice(group.devices.indexOf(device), 1);
    if (group.devices.length > 0) return;
    if (group.container) this.#detach(group);
    this.groups.delete(group.id);
  }
}

/** A writer to sysfs waits for the device's lock; here its call returns at once. */
function later(waiting: (() => void)[], turn: () => void): number {
  waiting.push(turn);
  return 0;
}
