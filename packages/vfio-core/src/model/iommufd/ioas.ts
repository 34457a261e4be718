/** An I/O address space that user space maps memory into, with the hardware page tables that show it (struct iommufd_ioas). */
import { ENODEV, ENOENT } from "@minivmm/host";
import { KernelError } from "@minivmm/host/model";
import type { IommufdContext } from "./context.ts";
import { IoPageTable } from "./io-page-table.ts";
import { IommufdObject } from "./object.ts";
import { U64_MAX } from "./ranges.ts";

export class Ioas extends IommufdObject {
  readonly type = "ioas";
  readonly table: IoPageTable;
  /** Its hardware page tables (Hwpt), the oldest first. */
  readonly hwpts: IommufdObject[] = [];

  constructor(context: IommufdContext) {
    super();
    const { pageSize, physical } = context.host.kernel;
    this.table = new IoPageTable({ pageSize, physical });
    context.objects.add(this);
  }

  /** Throws KernelError ENOENT. */
  static get(context: IommufdContext, id: number): Ioas {
    const object = context.objects.get(id);
    if (!(object instanceof Ioas)) throw new KernelError(ENOENT, `object ${id} is no IOAS`);
    return object;
  }

  /** The one that VFIO's container ioctls mean. Throws KernelError ENODEV. */
  static compat({ compatIoas }: IommufdContext): Ioas {
    if (!(compatIoas instanceof Ioas)) throw new KernelError(ENODEV, "no group has been put into this container");
    return compatIoas;
  }

  override destroy(): void {
    this.table.unmap(0n, U64_MAX);
  }
}
