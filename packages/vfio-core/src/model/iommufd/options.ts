/** IOMMU_OPTION, IOMMU_VFIO_IOAS, IOMMU_DESTROY and the fault queue: small commands on the whole iommufd. */
import { EBUSY, EINVAL, EMFILE, EOPNOTSUPP, EPERM, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { KernelError, OpenFile } from "@minivmm/host/model";
import * as uapi from "../../uapi-iommufd.ts";
import { type Caller, command } from "./command.ts";
import { FaultFile, FaultQueue } from "./fault.ts";
import { Ioas } from "./ioas.ts";

interface Option {
  op: number;
  object_id: number;
  val64: bigint;
}

export const destroy = command(uapi.iommu_destroy, 8, ({ id }, { context }) =>
  context.destroy(context.objects.get(id)),
);

export const option = command(uapi.iommu_option, 24, (value, caller) => {
  if (value.__reserved !== 0) return -EOPNOTSUPP;
  const result = APPLY.get(value.option_id)?.(value, caller) ?? -EOPNOTSUPP;
  if (result < 0) return result;
  caller.call.arg.copyOut(
    uapi.iommu_option.encode(value).subarray(uapi.iommu_option.offsets.val64),
    uapi.iommu_option.offsets.val64,
  );
  return 0;
});

/** Who is charged. To be chosen before there is any object, by a process with CAP_SYS_RESOURCE. */
function rlimitMode(value: Option, { context, call }: Caller): number {
  if (value.object_id !== 0) return -EOPNOTSUPP;
  if (value.op === uapi.IOMMU_OPTION_OP_GET) {
    value.val64 = context.accountMode === "mm" ? 1n : 0n;
    return 0;
  }
  if (value.op !== uapi.IOMMU_OPTION_OP_SET) return -EOPNOTSUPP;
  if (!call.process.has("SYS_RESOURCE")) return -EPERM;
  if (context.objects.size > 0) return -EBUSY;
  if (value.val64 > 1n) return -EINVAL;
  context.accountMode = value.val64 === 1n ? "mm" : "user";
  return 0;
}

/** Without large pages an address space can be cut anywhere. */
function hugePages(value: Option, { context }: Caller): number {
  const { table } = Ioas.get(context, value.object_id);
  if (value.op === uapi.IOMMU_OPTION_OP_GET) {
    value.val64 = table.largePages ? 1n : 0n;
    return 0;
  }
  if (value.op !== uapi.IOMMU_OPTION_OP_SET) return -EOPNOTSUPP;
  if (value.val64 > 1n) return -EINVAL;
  if (value.val64 === 0n) table.disableLargePages();
  else table.enableLargePages();
  return 0;
}

const APPLY = new Map([
  [uapi.IOMMU_OPTION_RLIMIT_MODE, rlimitMode],
  [uapi.IOMMU_OPTION_HUGE_PAGES, hugePages],
]);

/** Which address space VFIO's container ioctls mean. */
export const vfioIoas = command(uapi.iommu_vfio_ioas, 12, (value, { context, respond }) => {
  if (value.__reserved !== 0) return -EOPNOTSUPP;
  switch (value.op) {
    case uapi.IOMMU_VFIO_IOAS_GET:
      value.ioas_id = Ioas.compat(context).id;
      respond();
      return 0;
    case uapi.IOMMU_VFIO_IOAS_SET:
      context.compatIoas = Ioas.get(context, value.ioas_id);
      return 0;
    case uapi.IOMMU_VFIO_IOAS_CLEAR:
      context.compatIoas = null;
      return 0;
    default:
      return -EOPNOTSUPP;
  }
});

export const faultQueueAlloc = command(uapi.iommu_fault_alloc, 16, (value, { context, call, file, respond }) => {
  if (value.flags !== 0) return -EOPNOTSUPP;
  const queue = new FaultQueue();
  context.objects.add(queue);
  const fd = call.process.install(new OpenFile(new FaultFile(queue, file), O_RDWR | O_CLOEXEC));
  try {
    if (fd < 0) throw new KernelError(EMFILE);
    value.out_fault_id = queue.id;
    value.out_fault_fd = fd;
    respond();
  } catch (error) {
    if (fd >= 0) call.process.close(fd);
    context.objects.abort(queue);
    throw error;
  }
  return 0;
});
