/** Descriptor numbers handed over by users that must name eventfds: `eventfd_ctx_fdget`. */
import { EBADF, EINVAL } from "@minivmm/host";
import { EventFd, KernelError, type ModelProcess, type OpenFile } from "@minivmm/host/model";

/** The open file behind `fd`, which is an eventfd. Throws KernelError EBADF or EINVAL. */
export function eventFdFile(process: ModelProcess, fd: number): OpenFile {
  const file = process.fileOf(fd);
  if (!file) throw new KernelError(EBADF, `descriptor ${fd} is not open`);
  if (!EventFd.from(file)) throw new KernelError(EINVAL, `descriptor ${fd} is a ${file.ops.kind} file, not an eventfd`);
  return file;
}

/**
 * The counter behind `fd`. Like the kernel's context it outlives the descriptor: closing the last one only means
 * that nobody sees the signals. Throws KernelError EBADF or EINVAL.
 */
export function eventFdOf(process: ModelProcess, fd: number): EventFd {
  return EventFd.from(eventFdFile(process, fd)) as EventFd;
}
