/**
 * A device that is bound to an iommufd (struct iommufd_device), and how it gets its page table.
 *
 * Bound means: the group's DMA belongs to this iommufd and is blocked. Attached means: translated by a hardware page
 * table. Attaching again replaces the table for the whole group. The iommufd's file stays open while a device is bound.
 * The order of checks is the kernel's: drivers/iommu/iommufd/device.c.
 */
import { EINVAL, ENOENT, EPERM } from "@minivmm/host";
import { KernelError, type OpenFile } from "@minivmm/host/model";
import type { PciFunction } from "@minivmm/pci";
import type { IommuUnit } from "../type1/hardware.ts";
import type { IommufdContext } from "./context.ts";
import { DeviceGroup } from "./device-group.ts";
import { Hwpt } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import { IommufdObject } from "./object.ts";

type Change = (hwpt: Hwpt) => void;

export class IommufdDevice extends IommufdObject {
  readonly type = "device";
  readonly context: IommufdContext;
  readonly fn: PciFunction;
  readonly unit: IommuUnit;
  readonly #file: OpenFile;
  readonly #group: DeviceGroup<IommufdDevice>;
  #attached = false;

  private constructor(
    context: IommufdContext,
    file: OpenFile,
    { fn, unit, group }: { fn: PciFunction; unit: IommuUnit; group: DeviceGroup<IommufdDevice> },
  ) {
    super();
    this.context = context;
    this.fn = fn;
    this.unit = unit;
    this.#group = group.get();
    this.#file = file.get();
    context.objects.add(this);
    // The driver that binds is a user until it unbinds, so IOMMU_DESTROY is EBUSY.
    this.users++;
  }

  /**
   * `file` is the iommufd's. Throws KernelError EINVAL (no IOMMU, or a region that must stay mapped), EPERM (interrupts not
   * isolated, or not viable).
   */
  static bindTo(context: IommufdContext, file: OpenFile, fn: PciFunction): IommufdDevice {
    const iommuGroup = fn.group;
    const unit = iommuGroup && context.host.hardware.unitOf(iommuGroup);
    if (!unit) throw new KernelError(EINVAL, `there is no IOMMU in front of ${fn.name}`);
    if (!unit.isolatedMsi) {
      if (!context.host.allowUnsafeInterrupts) throw new KernelError(EPERM, "its interrupts are not isolated");
      context.host.kernel.log.push(
        `vfio-pci ${fn.name}: MSI interrupts are not secure, they cannot be isolated by the platform. ` +
          'Check that platform features like interrupt remapping are enabled. Use the "allow_unsafe_interrupts" module parameter to override',
      );
    }
    const sibling = context.objects.all().find((each) => each instanceof IommufdDevice && each.fn.group === iommuGroup);
    if (sibling instanceof IommufdDevice) return new IommufdDevice(context, file, { fn, unit, group: sibling.#group });
    const group = new DeviceGroup<IommufdDevice>(iommuGroup, context);
    if (unit.reserved.some(({ type }) => type === "direct")) {
      iommuGroup.releaseDmaOwner();
      throw new KernelError(EINVAL, `firmware wants ${fn.name} mapped one to one, so its DMA cannot be blocked`);
    }
    return new IommufdDevice(context, file, { fn, unit, group });
  }

  /** Detaches if need be, and ends the device's number. */
  unbind(): void {
    this.detach();
    this.users--;
    this.context.objects.destroy(this);
  }

  /**
   * Attaches to an IOAS or a hardware page table, or changes to it: the number of the page table in use. Throws KernelError
   * ENOENT, EINVAL (no such kind of object, another table in the group, hardware that does not fit), EADDRINUSE (mappings in
   * the way of reserved ranges), and what pinning ends with.
   */
  attach(id: number): number {
    const target = this.context.objects.get(id);
    const change: Change = this.#attached ? (hwpt) => this.#replace(hwpt) : (hwpt) => this.#join(hwpt);
    let used: Hwpt;
    if (target instanceof Hwpt) {
      change(target);
      used = target;
    } else if (target instanceof Ioas) {
      used = this.#chooseHwpt(target, change);
    } else {
      throw new KernelError(EINVAL, `object ${id} is no page table`);
    }
    if (!this.#attached) this.users++;
    this.#attached = true;
    return used.id;
  }

  detach(): void {
    const { hwpt, attached, iommuGroup } = this.#group;
    if (!this.#attached || !hwpt) return;
    attached.splice(attached.indexOf(this), 1);
    if (attached.length === 0) {
      iommuGroup.domain = null;
      iommuGroup.enforcesSnoop = false;
      this.#group.hwpt = null;
    }
    hwpt.ioas.table.space.unreserve(this);
    this.#put(hwpt);
    this.#attached = false;
    this.users--;
  }

  override destroy(): void {
    this.#group.put();
    this.#file.put();
  }

  /** The first table made for the IOAS that takes the device; else a new one. */
  #chooseHwpt(ioas: Ioas, change: Change): Hwpt {
    for (const hwpt of [...ioas.hwpts]) {
      if (!(hwpt instanceof Hwpt) || !hwpt.automatic) continue;
      try {
        change(hwpt);
        return hwpt;
      } catch (error) {
        if (!(error instanceof KernelError) || error.errno !== EINVAL) throw error;
      }
    }
    const hwpt = new Hwpt(this.context, ioas, this.unit, 0);
    try {
      // Attaching comes first and filling second; a replacement is filled before it is used.
      if (this.#attached) {
        hwpt.publish();
        change(hwpt);
      } else {
        change(hwpt);
        this.#publishOrLeave(hwpt);
      }
    } catch (error) {
      this.context.objects.abort(hwpt);
      throw error;
    }
    hwpt.automatic = true;
    return hwpt;
  }

  #publishOrLeave(hwpt: Hwpt): void {
    try {
      hwpt.publish();
    } catch (error) {
      this.#leave(hwpt);
      hwpt.users--;
      throw error;
    }
  }

  #join(hwpt: Hwpt): void {
    const group = this.#group;
    if (group.hwpt && group.hwpt !== hwpt) throw new KernelError(EINVAL, "the group has another page table");
    this.#reserve(hwpt, true);
    if (group.attached.length === 0) {
      try {
        this.#connect(hwpt);
      } catch (error) {
        hwpt.ioas.table.space.unreserve(this);
        throw error;
      }
      group.hwpt = hwpt;
    }
    hwpt.users++;
    group.attached.push(this);
  }

  #leave(hwpt: Hwpt): void {
    const { attached, iommuGroup } = this.#group;
    attached.splice(attached.indexOf(this), 1);
    if (attached.length === 0) {
      iommuGroup.domain = null;
      iommuGroup.enforcesSnoop = false;
      this.#group.hwpt = null;
    }
    hwpt.ioas.table.space.unreserve(this);
  }

  #replace(hwpt: Hwpt): void {
    const group = this.#group;
    const old = group.hwpt;
    if (!old || old === hwpt) return;
    const moves = old.ioas !== hwpt.ioas;
    try {
      if (moves) for (const each of group.attached) each.#reserve(hwpt, false);
      this.#connect(hwpt);
    } catch (error) {
      for (const each of group.attached) hwpt.ioas.table.space.unreserve(each);
      throw error;
    }
    if (moves) for (const each of group.attached) old.ioas.table.space.unreserve(each);
    group.hwpt = hwpt;
    hwpt.users += group.attached.length;
    old.users -= group.attached.length - 1;
    this.#put(old);
  }

  /** Keeps the device's reserved regions out of the IOAS. Throws KernelError EADDRINUSE, EINVAL; then nothing is reserved. */
  #reserve(hwpt: Hwpt, first: boolean): void {
    const { space } = hwpt.ioas.table;
    const { reserved } = this.unit;
    try {
      for (const { start, end, type } of reserved) if (type !== "direct-relaxable") space.reserve(start, end, this);
      const software = reserved.filter(({ type }) => type === "software-msi").length;
      const impossible = software > 1 || (software > 0 && reserved.some(({ type }) => type === "msi"));
      if (first && impossible) throw new KernelError(EINVAL, "two kinds of MSI windows cannot go together");
    } catch (error) {
      space.unreserve(this);
      throw error;
    }
  }

  /** The unit translates the group by the page table. Throws KernelError: it does not take it. */
  #connect({ domain, ioas: { table } }: Hwpt): void {
    const { unit, fn } = this;
    if (unit.attachErrno !== 0) throw new KernelError(unit.attachErrno, `the IOMMU does not take ${fn.name}`);
    const highest = table.domains.includes(domain) ? (table.space.areas.all().at(-1)?.last ?? 0n) : 0n;
    const fits =
      (!domain.enforcesSnoop || unit.snoopControl) &&
      (!domain.marksPages || unit.dirtyTracking) &&
      highest < 1n << BigInt(unit.addressWidth);
    if (!fits) throw new KernelError(EINVAL, `the IOMMU of ${fn.name} cannot do what the page table needs`);
    this.#group.iommuGroup.domain = domain;
    this.#group.iommuGroup.enforcesSnoop = domain.enforcesSnoop;
  }

  #put(hwpt: Hwpt): void {
    hwpt.users--;
    if (hwpt.automatic && hwpt.users === 1) this.context.objects.destroy(hwpt);
  }
}

/** Throws KernelError ENOENT. */
export function iommufdDevice(context: IommufdContext, id: number): IommufdDevice {
  const object = context.objects.get(id);
  if (!(object instanceof IommufdDevice)) throw new KernelError(ENOENT, `object ${id} is no device`);
  return object;
}
