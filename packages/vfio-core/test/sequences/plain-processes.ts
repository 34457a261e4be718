// Processes of the reference: descriptors that count references, duplicates, children, and how everything goes at exit.
import { EBADF, EINVAL, EMFILE, ENOTTY } from "@minivmm/host";
import * as plain from "./plain-objects.ts";

export abstract class PlainProcesses {
  readonly processes: plain.PlainProcess[] = [new plain.PlainProcess()];

  process(p: number): plain.PlainProcess {
    return this.processes[p] as plain.PlainProcess;
  }

  dup(p: number, fd: number): number {
    const process = this.process(p);
    const file = process.fds.get(fd);
    if (!file) return -EBADF;
    const copy = process.lowestFd();
    if (copy < 0) return -EMFILE;
    file.refs++;
    process.fds.set(copy, file);
    return copy;
  }

  close(p: number, fd: number): number {
    const { fds } = this.process(p);
    const file = fds.get(fd);
    if (!file) return -EBADF;
    fds.delete(fd);
    file.put();
    return 0;
  }

  fork(p: number): number {
    const parent = this.process(p);
    const child = new plain.PlainProcess();
    for (const [fd, file] of parent.fds) child.fds.set(fd, file);
    child.areas = parent.areas.map((area) => ({ ...area }));
    child.mmaps = parent.mmaps;
    for (const file of [...child.fds.values(), ...child.areas.map((area) => area.file)]) file.refs++;
    this.processes.push(child);
    return this.processes.length - 1;
  }

  exit(p: number): number {
    const process = this.process(p);
    process.alive = false;
    for (const { file } of process.areas.splice(0)) file.put();
    for (const fd of [...process.fds.keys()].sort((a, b) => a - b)) this.close(p, fd);
    return 0;
  }

  /** A new file with a descriptor, or -EMFILE. */
  install(p: number, behind: plain.Behind): number {
    const process = this.process(p);
    const fd = process.lowestFd();
    if (fd < 0) return -EMFILE;
    const file = new plain.PlainFile(behind, (released) => this.released(released));
    process.fds.set(fd, file);
    return fd;
  }

  /** The last reference on a file is gone. */
  protected abstract released(file: plain.PlainFile): void;

  /** An ioctl that only files of one kind know. */
  protected ioctl<K extends plain.Behind["kind"]>(
    p: number,
    fd: number,
    kind: K,
    run: (behind: Extract<plain.Behind, { kind: K }>) => number,
  ): number {
    const file = this.process(p).fds.get(fd);
    if (!file) return -EBADF;
    const { behind } = file;
    if (behind.kind === kind) return run(behind as Extract<plain.Behind, { kind: K }>);
    return this.unknown(p, behind);
  }

  /** What a file answers to an ioctl that it does not know. */
  protected unknown(_p: number, behind: plain.Behind): number {
    return behind.kind === "container" && behind.container.type === 0 ? -EINVAL : -ENOTTY;
  }
}
