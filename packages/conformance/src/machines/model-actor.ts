// A process of a modelled host as a recorded case sees it.
// A touch of a device that does not decode is SIGBUS, one without a mapping or against its protection SIGSEGV.
// What runs in the background runs at once: the model's kernel keeps no writer waiting, so its outcome is known by then.

import { EFAULT, MinivmmError, O_RDWR, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { type Area, type ModelProcess, OpenFile } from "@minivmm/host/model";
import { type Actor, type Job, ROOT_CAPABILITIES, type Touch, type Touched } from "../machine.ts";

const SIGBUS = 7;
const SIGSEGV = 11;

export class ModelActor implements Actor {
  readonly host: ModelProcess;

  constructor(process: ModelProcess) {
    this.host = process;
  }

  pipe(): number {
    return this.host.install(new OpenFile({ kind: "pipe" }, O_RDWR));
  }

  memfd(): number {
    return this.host.install(new OpenFile({ kind: "memfd" }, O_RDWR));
  }

  drop(capability: string): number {
    this.host.drop(capability);
    return 0;
  }

  munmap(address: bigint, length: number): number {
    return this.host.mm.munmap(Number(address), this.#pages(length));
  }

  mprotect(address: bigint, length: number, prot: number): number {
    return this.host.mm.mprotect(Number(address), this.#pages(length), prot);
  }

  /** The model's anonymous memory has base pages anyway. */
  smallPages(): void {}

  touch(touch: Touch): Touched {
    const area = this.host.mm.areaAt(Number(touch.address));
    const needed = touch.store === undefined ? PROT_READ : PROT_WRITE;
    if (!area || (area.prot & needed) === 0) return { signal: SIGSEGV };
    try {
      return { value: area.backing.device ? this.#touchDevice(area, touch) : this.#touchMemory(touch) };
    } catch (error) {
      if (error instanceof MinivmmError && error.code === "SIGBUS") return { signal: SIGBUS };
      throw error;
    }
  }

  readMemory(address: bigint, into: Uint8Array): number {
    return this.host.mm.read(address, into) ? 0 : -EFAULT;
  }

  writeMemory(address: bigint, from: Uint8Array): number {
    return this.host.mm.write(address, from) ? 0 : -EFAULT;
  }

  preadFault(fd: number, size: number, offset: number): number {
    const ret = this.host.pread(fd, new Uint8Array(size), offset);
    return ret > 0 ? -EFAULT : ret;
  }

  pwriteFault(fd: number, size: number, offset: number): number {
    const nothing = this.host.pwrite(fd, new Uint8Array(0), offset);
    if (nothing < 0 || size === 0) return nothing;
    const taken = this.host.fileOf(fd)?.ops.checkWrite?.(size, offset) ?? -EFAULT;
    return taken > 0 ? -EFAULT : taken;
  }

  child<T>(run: (child: Actor) => T): T {
    return this.#in(this.host.fork(), run);
  }

  background<T>(run: (other: Actor) => T): Job<T> {
    const { kernel, root, rlimits } = this.host;
    const capabilities = ROOT_CAPABILITIES.filter((each) => this.host.has(each));
    const result = this.#in(kernel.spawn({ root, capabilities, memlock: rlimits.memlock.soft }), run);
    return { join: () => result };
  }

  #in<T>(process: ModelProcess, run: (other: Actor) => T): T {
    try {
      return run(new ModelActor(process));
    } finally {
      process.exit();
    }
  }

  #touchDevice({ backing, start, offset }: Area, { address, width, store }: Touch): bigint {
    const device = backing.device!;
    const at = Number(address) - start + offset;
    // A processor's 8-byte access reaches a register of the model as two.
    const parts = width === 8 ? [0, 4] : [0];
    const size = Math.min(width, 4) as 1 | 2 | 4;
    return parts.reduce((value, part) => {
      const shift = BigInt(part * 8);
      if (store === undefined) return value | (BigInt(device.load(at + part, size)) << shift);
      device.store(at + part, size, Number((store >> shift) & 0xffff_ffffn));
      return 0n;
    }, 0n);
  }

  #touchMemory({ address, width, store }: Touch): bigint {
    const bytes = new Uint8Array(8);
    if (store !== undefined) {
      new DataView(bytes.buffer).setBigUint64(0, store, true);
      this.host.mm.write(address, bytes.subarray(0, width));
      return 0n;
    }
    this.host.mm.read(address, bytes.subarray(0, width));
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  #pages(length: number): number {
    return Math.ceil(length / this.host.pageSize) * this.host.pageSize;
  }
}
