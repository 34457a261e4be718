/**
 * VFIO_DEVICE_SET_IRQS: checks that hold for every index, in the kernel's order, before any index-specific code.
 *
 * Source: vfio_set_irqs_validate_and_prepare of vfio_main.c.
 */
import { EINVAL } from "@minivmm/host";
import type { IoctlCall } from "@minivmm/host/model";
import {
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_set,
} from "../../uapi.ts";
import type { IrqRequest } from "./types.ts";

const ELEMENT_SIZE = new Map([
  [VFIO_IRQ_SET_DATA_NONE, 0],
  [VFIO_IRQ_SET_DATA_BOOL, 1],
  [VFIO_IRQ_SET_DATA_EVENTFD, 4],
]);
const KNOWN_FLAGS = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;

/** The request with its data, or -EINVAL. Throws KernelError EFAULT. `countOf` gives the interrupts of an index. */
export function readIrqRequest(call: IoctlCall, countOf: (index: number) => number): IrqRequest | number {
  const { argsz, flags, index, start, count } = vfio_irq_set.decode(call.arg.copyIn(vfio_irq_set.size));
  if (argsz < vfio_irq_set.size || index >= VFIO_PCI_NUM_IRQS) return -EINVAL;
  if (count >= 0xffffffff - start || flags & ~KNOWN_FLAGS) return -EINVAL;
  const available = countOf(index);
  if (start >= available || start + count > available) return -EINVAL;
  const size = ELEMENT_SIZE.get(flags & VFIO_IRQ_SET_DATA_TYPE_MASK);
  if (size === undefined || argsz - vfio_irq_set.size < count * size) return -EINVAL;
  const data = count * size > 0 ? call.arg.copyIn(count * size, vfio_irq_set.size) : new Uint8Array(0);
  return { process: call.process, flags, index, start, count, data };
}
