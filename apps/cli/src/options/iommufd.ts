// -object iommufd,id=ID[,fd=N]: iommufds, which devices refer to by id. Machine pc's; no other object exists here.
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import type { MachineName } from "./machine.ts";
import { Properties } from "./properties.ts";
import { suggestion } from "./suggest.ts";

export interface IommufdRequest {
  readonly id: string;
  /** An inherited descriptor of /dev/iommu. Default: the VM opens it. */
  readonly fd?: number;
}

const OBJECTS = ["iommufd"] as const;

/** The iommufds of a command line. Every method throws CliError USAGE_OPTION. */
export class Iommufds {
  private readonly machine: MachineName;
  private readonly known = new Map<string, IommufdRequest>();
  private readonly used = new Set<string>();

  constructor(given: Given, machine: MachineName) {
    this.machine = machine;
    for (const text of given.all("object")) this.add(text);
  }

  /** The iommufd that a device names. */
  use(owner: string, id: string): IommufdRequest {
    if (this.machine !== "pc") throw this.notHere(`${owner}: iommufd=${id}`);
    const found = this.known.get(id);
    if (found === undefined) {
      const hint = suggestion(id, this.known.keys(), `add -object iommufd,id=${id}`, (near) => `iommufd=${near}`);
      throw usageError(`${owner}: iommufd=${id} does not exist`, hint);
    }
    this.used.add(id);
    return found;
  }

  /** All devices are known. */
  finish(): void {
    for (const id of this.known.keys()) {
      if (this.used.has(id)) continue;
      throw usageError(`-object id=${id}: no device uses it`, `add -device vfio,host=BDF,iommufd=${id}`);
    }
  }

  private add(text: string): void {
    const [name = ""] = text.split(",");
    const properties = new Properties(`-object ${name}`, text, "qom-type");
    const type = properties.required("qom-type", "iommufd");
    if (!(OBJECTS as readonly string[]).includes(type)) {
      const hint = suggestion(type, OBJECTS, `known: ${OBJECTS.join(", ")}`, (near) => `-object ${near}`);
      throw usageError(`unknown object "${type}"`, hint, { object: type });
    }
    if (this.machine !== "pc") throw this.notHere("-object iommufd");
    const id = properties.required("id", "iommufd0");
    const fd = properties.descriptor("fd");
    properties.finish();
    if (this.known.has(id)) throw usageError(`two objects have the id "${id}"`, "an id names one object");
    this.known.set(id, { id, ...(fd === undefined ? {} : { fd }) });
  }

  private notHere(what: string): Error {
    return usageError(
      `${what}: machine ${this.machine} has no iommufd`,
      "leave it out: devices of this machine come through groups and a container",
    );
  }
}
