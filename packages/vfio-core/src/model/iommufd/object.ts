/**
 * The objects of one iommufd and their numbers. Numbers start at 1; the lowest free one is given out.
 *
 * `users` counts who needs the object: the table itself and every object or driver that refers to it. Only the table left
 * means that it can be destroyed; anything more is EBUSY. Source: drivers/iommu/iommufd/main.c.
 */
import { EBUSY, ENOENT } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";

export type ObjectType = "device" | "hwpt" | "ioas" | "fault";

export abstract class IommufdObject {
  abstract readonly type: ObjectType;
  /** Its number, 0 before it is in the table. */
  id = 0;
  users = 1;

  /** The number is free again and nobody refers to the object. */
  abstract destroy(): void;
}

export class ObjectTable {
  readonly #objects = new Map<number, IommufdObject>();
  #lowest = 1;

  get size(): number {
    return this.#objects.size;
  }

  add(object: IommufdObject): void {
    while (this.#objects.has(this.#lowest)) this.#lowest++;
    object.id = this.#lowest;
    this.#objects.set(object.id, object);
  }

  find(id: number): IommufdObject | undefined {
    return this.#objects.get(id);
  }

  /** Throws KernelError ENOENT. */
  get(id: number): IommufdObject {
    const object = this.find(id);
    if (!object) throw new KernelError(ENOENT, `there is no object ${id}`);
    return object;
  }

  all(): IommufdObject[] {
    return [...this.#objects.values()].sort((a, b) => a.id - b.id);
  }

  /** The call that made the object has failed: takes it out and destroys it. */
  abort(object: IommufdObject): void {
    this.#forget(object);
    object.destroy();
  }

  /** 0 or -EBUSY. */
  destroy(object: IommufdObject): number {
    if (object.users > 1) return -EBUSY;
    this.abort(object);
    return 0;
  }

  /** The file is gone: leaves first, until nothing is left. */
  destroyAll(): void {
    for (let before = -1; this.size !== before; ) {
      before = this.size;
      for (const object of this.all()) this.destroy(object);
    }
  }

  #forget({ id }: IommufdObject): void {
    this.#objects.delete(id);
    this.#lowest = Math.min(this.#lowest, id);
  }
}
