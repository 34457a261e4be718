/**
 * A PCI driver of the modelled kernel: its name, the functions that it takes, and what it does with one.
 *
 * Ids of its own are fixed, those from new_id are dynamic and looked at first. A driver_override leaves a function to the
 * driver of that name, ids or not, and to no other. Source: pci_match_device of drivers/pci/pci-driver.c.
 */
import { EEXIST, EINVAL, ENODEV } from "@minivmm/host";
import type { PciFunction } from "@minivmm/pci";
import { idOf, matchesId, namesId, type PciDeviceId } from "./pci-ids.ts";

/** What a driver does beyond having a name. */
export interface DriverHooks {
  /** Takes a function: 0 or -errno. Default: takes it. */
  probe?(fn: PciFunction): number;
  /** Lets go of a function; `done` when that is complete, which may be later. Default: at once. */
  remove?(fn: PciFunction, done: () => void): void;
  /** Makes `count` virtual functions, or none: `count` or -errno. Default: the driver does not know how. */
  sriovConfigure?(fn: PciFunction, count: number): number;
}

export class PciDriver {
  readonly name: string;
  readonly hooks: DriverHooks;
  /** Null: the driver comes without a table. */
  readonly #fixed: PciDeviceId[] | null;
  readonly #dynamic: PciDeviceId[] = [];

  constructor(name: string, ids: readonly PciDeviceId[] | null, hooks: DriverHooks = {}) {
    this.name = name;
    this.hooks = hooks;
    this.#fixed = ids && [...ids];
  }

  addFixed(ids: readonly PciDeviceId[]): void {
    this.#fixed?.push(...ids);
  }

  matches(fn: PciFunction): boolean {
    if (fn.driverOverride !== null) return fn.driverOverride === this.name;
    const own = idOf(fn);
    return this.#dynamic.some((id) => matchesId(id, own)) || this.#hasFixed(own);
  }

  /** `fields`: how many the user gave; all seven mean that he knows what he does. */
  addDynamic(id: PciDeviceId, fields: number): number {
    const known = this.#hasFixed(id) || this.#dynamic.some((each) => matchesId(each, id));
    const data = id.driverData ?? 0n;
    if (fields !== 7 && this.#hasFixed(id)) return -EEXIST;
    if (this.#fixed && !this.#fixed.some((each) => (each.driverData ?? 0n) === data)) return -EINVAL;
    if (fields !== 7 && known) return -EEXIST;
    this.#dynamic.push(id);
    return 0;
  }

  removeDynamic(id: PciDeviceId): number {
    const at = this.#dynamic.findIndex((each) => namesId(id, each));
    if (at < 0) return -ENODEV;
    this.#dynamic.splice(at, 1);
    return 0;
  }

  #hasFixed(of: PciDeviceId): boolean {
    return this.#fixed?.some((id) => !id.overrideOnly && matchesId(id, of)) ?? false;
  }
}
