// The reference's rules of hot reset (vfio_pci_ioctl_pci_hot_reset, vfio_pci_dev_set_hot_reset): what sits on a bus is hit
// together; all of it must be bound to vfio-pci and covered by groups that the caller proves to hold.
import { EAGAIN, EBADF, EINVAL, ENODEV, ENOSPC } from "@minivmm/host";
import { type PlainDescription, PlainKernel } from "../../../vfio-core/test/sequences/plain-kernel.ts";
import type { PlainDevice, PlainFunction, PlainGroup } from "../../../vfio-core/test/sequences/plain-objects.ts";
import { type HotResetCalls, listed, PLAN_BLOCKED, PLAN_NOT_OWNED } from "./calls.ts";

/** Somebody on a bus, bridges included, in the order that the kernel walks. */
export interface Listed {
  readonly bdf: string;
  readonly group: number;
  readonly bridge: boolean;
}

export class PlainHotReset extends PlainKernel implements HotResetCalls {
  readonly #busOf: (bdf: string) => readonly Listed[] | null;

  /** `busOf`: everything that is reset with a function; null on a root bus. */
  constructor(description: PlainDescription, busOf: (bdf: string) => readonly Listed[] | null) {
    super(description);
    this.#busOf = busOf;
  }

  hotResetInfo(p: number, fd: number, room: number): number {
    return this.ioctl(p, fd, "device", ({ device }) => {
      const bus = this.#busOf(device.fn.bdf);
      if (!bus) return -ENODEV;
      if (bus.length > room) return -ENOSPC;
      return bus.reduce((sum, { bdf, group }, place) => {
        const [, number = "0", rest = "0.0"] = bdf.split(":");
        const [slot = "0", fn = "0"] = rest.split(".");
        return sum + listed(place, group, Number.parseInt(number, 16), Number.parseInt(slot, 16) * 8 + Number(fn));
      }, 0);
    });
  }

  hotReset(p: number, fd: number, proof: readonly number[]): number {
    return this.ioctl(p, fd, "device", ({ device }) => this.#reset(p, device, proof));
  }

  plannedReset(p: number, fd: number, groups: readonly number[]): number {
    return this.ioctl(p, fd, "device", ({ device }) => {
      const bus = this.#busOf(device.fn.bdf);
      if (!bus) return -ENODEV;
      if (bus.some((each) => each.bridge || this.#functionAt(each.bdf)?.driver !== "vfio-pci")) return PLAN_BLOCKED;
      const held = this.#groups(p, groups);
      if (typeof held === "number") return held;
      const ids = new Set(held.map(({ id }) => id));
      return bus.some(({ group }) => !ids.has(group)) ? PLAN_NOT_OWNED : this.#done(bus);
    });
  }

  #reset(p: number, device: PlainDevice, proof: readonly number[]): number {
    const bus = this.#busOf(device.fn.bdf);
    const early = this.description.kernel !== "6.12";
    if (early && !bus) return -ENODEV;
    if (proof.length === 0) return -EINVAL;
    if (!bus) return -ENODEV;
    if (proof.length > bus.length) return -EINVAL;
    const held = this.#groups(p, proof);
    if (typeof held === "number") return held;
    const members = bus.map(({ bdf }) => this.#functionAt(bdf)?.device);
    const all = members.every((member) => member && held.includes(member.group));
    return all ? this.#done(bus) : -EINVAL;
  }

  /** Whoever is being unbound has its lock, and then nothing is touched. */
  #done(bus: readonly Listed[]): number {
    return bus.some(({ bdf }) => this.#functionAt(bdf)?.waiting) ? -EAGAIN : 0;
  }

  #groups(p: number, proof: readonly number[]): PlainGroup[] | number {
    const groups: PlainGroup[] = [];
    for (const fd of proof) {
      const file = this.process(p).fds.get(fd);
      if (!file) return -EBADF;
      if (file.behind.kind !== "group") return -EINVAL;
      groups.push(file.behind.group);
    }
    return groups;
  }

  #functionAt(bdf: string): PlainFunction | undefined {
    return this.description.functions.find((fn) => fn.bdf === bdf);
  }
}
