// The reference's rules of the KVM-VFIO device (virt/kvm/vfio.c): one for each VM, a list of files (groups before 5.18),
// references and counts for each entry, coherency looked at when the list changes.
// Today the device goes with its descriptor; up to 5.17 with its VM, which it then keeps only by being part of it.
import { EBADF, EBUSY, EEXIST, EFAULT, EINVAL, EIO, EMFILE, ENODEV, ENOENT, ENXIO } from "@minivmm/host";
import { PlainKernel } from "../../../vfio-core/test/sequences/plain-kernel.ts";
import type { Behind, PlainDevice, PlainFile, PlainGroup } from "../../../vfio-core/test/sequences/plain-objects.ts";
import type { KvmCalls } from "./calls.ts";

const VFIO_DEVICE_TYPE = 4;
const TEST = 1;
const FILE = 1;
const ADD = 1;
const DEL = 2;

class PlainSystem {
  readonly kind = "foreign";
  readonly name = "kvm";
  released(): void {}
}

export class PlainVm {
  readonly kind = "foreign";
  readonly name = "kvm-vm";
  /** The process whose it is; no other may use it. */
  readonly process: number;
  file: PlainFile | null = null;
  device: PlainVfio | null = null;
  alive = true;
  noncoherent = 0;

  constructor(process: number) {
    this.process = process;
  }

  released(): void {
    this.alive = false;
    this.device?.letGo();
  }
}

/** What is registered: a file, or the group behind it. */
interface Entry {
  readonly what: PlainFile | PlainGroup;
  readonly group: PlainGroup | null;
  readonly coherent: () => boolean;
  /** Gives the reference back. */
  readonly put: () => void;
}

class PlainVfio {
  readonly kind = "foreign";
  readonly name = "kvm-vfio";
  readonly vm: PlainVm;
  readonly untilVmEnds: boolean;
  entries: Entry[] = [];
  readonly #vmOf: Map<PlainGroup, PlainVm>;

  constructor(vm: PlainVm, untilVmEnds: boolean, vmOf: Map<PlainGroup, PlainVm>) {
    this.#vmOf = vmOf;
    this.vm = vm;
    this.untilVmEnds = untilVmEnds;
  }

  released(): void {
    if (!this.untilVmEnds) this.letGo();
    this.vm.file?.put();
  }

  update(): void {
    this.vm.noncoherent = this.entries.some((entry) => !entry.coherent()) ? 1 : 0;
  }

  letGo(): void {
    this.vm.device = null;
    for (const entry of this.entries.splice(0)) this.drop(entry);
    this.update();
  }

  /** The group is nobody's then, whoever else registered it. */
  drop({ group, put }: Entry): void {
    if (group) this.#vmOf.delete(group);
    put();
  }
}

export class PlainKvm extends PlainKernel implements KvmCalls {
  readonly vms: PlainVm[] = [];
  /** The VM that a group was given to last. */
  readonly vmOf = new Map<PlainGroup, PlainVm>();
  readonly #keptBy = new Map<PlainDevice, PlainFile>();

  openKvm(p: number): number {
    return this.install(p, new PlainSystem());
  }

  createVm(p: number, fd: number): number {
    return this.#on(p, fd, PlainSystem, () => {
      const vm = new PlainVm(p);
      const made = this.install(p, vm);
      vm.file = this.process(p).fds.get(made) ?? null;
      if (made >= 0) this.vms.push(vm);
      return made;
    });
  }

  createDevice(p: number, fd: number, { type, flags }: { type: number; flags: number }): number {
    return this.#on(p, fd, PlainVm, (vm) => {
      if (vm.process !== p) return -EIO;
      if (type !== VFIO_DEVICE_TYPE) return -ENODEV;
      if (flags & TEST) return 0;
      if (vm.device) return -EBUSY;
      if (this.process(p).lowestFd() < 0) return -EMFILE;
      vm.device = new PlainVfio(vm, this.description.kernel === "4.12", this.vmOf);
      if (vm.file) vm.file.refs++;
      return this.install(p, vm.device);
    });
  }

  add(p: number, fd: number, other: number): number {
    return this.#device(p, fd, (device) => {
      const file = this.process(p).fds.get(other);
      if (!file) return -EBADF;
      const made = this.#entry(file);
      if (typeof made === "number") return made;
      if (device.entries.some((entry) => entry.what === made.what)) {
        made.put();
        return -EEXIST;
      }
      device.entries.push(made);
      if (file.behind.kind === "group") this.vmOf.set(file.behind.group, device.vm);
      device.update();
      return 0;
    });
  }

  remove(p: number, fd: number, other: number): number {
    return this.#device(p, fd, (device) => {
      const file = this.process(p).fds.get(other);
      if (!file) return -EBADF;
      const { behind } = file;
      const found = device.entries.find(
        ({ what }) => what === file || (behind.kind === "group" && what === behind.group),
      );
      if (found) {
        device.entries.splice(device.entries.indexOf(found), 1);
        device.drop(found);
      }
      device.update();
      return found ? 0 : -ENOENT;
    });
  }

  hasAttribute(p: number, fd: number, group: number, attr: number): number {
    return this.#device(p, fd, () => (group === FILE && (attr === ADD || attr === DEL) ? 0 : -ENXIO));
  }

  setUnreadable(p: number, fd: number, group: number, attr: number): number {
    return this.#device(p, fd, () => (group === FILE && (attr === ADD || attr === DEL) ? -EFAULT : -ENXIO));
  }

  /** Since 6.2 a device keeps the VM alive that its group belongs to when it is opened. */
  protected override opened(device: PlainDevice): void {
    const vm = this.vmOf.get(device.group)?.file;
    if (this.description.kernel !== "6.12" || !vm) return;
    vm.refs++;
    this.#keptBy.set(device, vm);
  }

  protected override closed(device: PlainDevice): void {
    const vm = this.#keptBy.get(device);
    this.#keptBy.delete(device);
    vm?.put();
  }

  #device(p: number, fd: number, run: (device: PlainVfio) => number): number {
    return this.#on(p, fd, PlainVfio, (device) => (device.vm.process === p ? run(device) : -EIO));
  }

  /** An ioctl of KVM's files; VFIO's refuse it as they refuse everything unknown. */
  #on<T>(p: number, fd: number, kind: new (...args: never[]) => T, run: (behind: T) => number): number {
    const behind: Behind | undefined = this.process(p).fds.get(fd)?.behind;
    if (behind instanceof kind) return run(behind);
    return behind ? this.unknown(p, behind) : -EBADF;
  }

  /** Of a VM and its parts every call of another process is refused first. */
  protected override unknown(p: number, behind: Behind): number {
    const vm = behind instanceof PlainVfio ? behind.vm : behind instanceof PlainVm ? behind : null;
    return vm && vm.process !== p ? -EIO : super.unknown(p, behind);
  }

  #entry(file: PlainFile): Entry | number {
    const { behind } = file;
    const { kernel } = this.description;
    if (kernel === "4.12") return behind.kind === "group" ? this.#user(behind.group) : -EINVAL;
    if (behind.kind !== "group" && (behind.kind !== "device" || kernel !== "6.12")) return -EINVAL;
    file.refs++;
    const group = behind.kind === "group" ? behind.group : null;
    const coherent = () => {
      if (!group) return this.description.snoops;
      if (group.devices.length === 0) return true;
      if (kernel === "6.12") return this.description.snoops;
      return group.container === null || (group.container.type !== 0 && this.description.snoops);
    };
    return { what: file, group, coherent, put: () => file.put() };
  }

  /** Before 5.18: the device is a user of the group's container. */
  #user(group: PlainGroup): Entry | number {
    const ready = group.container !== null && group.container.type !== 0;
    if (group.users === 0 || !ready || !this.viable(group)) return -EINVAL;
    group.users++;
    return { what: group, group, coherent: () => this.description.snoops, put: () => this.putUser(group) };
  }
}
