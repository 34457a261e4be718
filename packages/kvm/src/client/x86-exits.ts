// What the run page of an x86 vCPU says after KVM_RUN, as plain numbers: this is read at every exit, so nothing here
// allocates or makes a BigInt. Source: struct kvm_run of include/uapi/linux/kvm.h; Documentation/virt/kvm/api.rst, "KVM_RUN".
// Invariants: fields are read with aligned loads, because the kernel writes them from another context; a value is
// meaningful only after the exit that it belongs to, until the next run().

import { EXIT_UNION, type MmioExit, type VcpuRunPage } from "./run-page.ts";

const KVM_EXIT_IO_OUT = 1;
const IO_DIRECTION = EXIT_UNION;
const IO_SIZE = EXIT_UNION + 1;
const IO_PORT = EXIT_UNION + 2;
const IO_COUNT = EXIT_UNION + 4;
const IO_DATA_OFFSET = EXIT_UNION + 8;
const MMIO_PHYS_ADDR = EXIT_UNION;
const MMIO_DATA = EXIT_UNION + 8;
const MMIO_LEN = EXIT_UNION + 16;
const MMIO_IS_WRITE = EXIT_UNION + 20;
const TWO_32 = 2 ** 32;

export interface PortExit {
  out: boolean;
  width: 1 | 2 | 4;
  port: number;
  count: number;
  /** The data in the run page: `width * count` bytes, to be filled for an input. */
  data: Uint8Array;
}

export class X86Exits {
  /** The run page area. */
  readonly bytes: Uint8Array;
  protected readonly page: VcpuRunPage;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;

  constructor(page: VcpuRunPage) {
    const { buffer, byteOffset, byteLength } = page.bytes;
    this.page = page;
    this.bytes = page.bytes;
    this.#u16 = new Uint16Array(buffer, byteOffset, byteLength / 2);
    this.#u32 = new Uint32Array(buffer, byteOffset, byteLength / 4);
  }

  /** Runs the guest until it exits: the exit reason (KVM_EXIT_*), or -EINTR when a signal or `immediateExit` came first. */
  run(): number {
    return this.page.run();
  }

  /** While set, KVM_RUN finishes pending I/O and returns at once with EINTR. Other threads set it by RunPageAlias. */
  set immediateExit(on: boolean) {
    this.page.immediateExit = on;
  }

  /** KVM_EXIT_IO: whether the guest writes. */
  get ioIsOut(): boolean {
    return this.bytes[IO_DIRECTION] === KVM_EXIT_IO_OUT;
  }

  /** KVM_EXIT_IO: bytes of one access. */
  get ioWidth(): 1 | 2 | 4 {
    return this.bytes[IO_SIZE] as 1 | 2 | 4;
  }

  get ioPort(): number {
    return this.#u16[IO_PORT / 2] as number;
  }

  /** KVM_EXIT_IO: accesses of a string instruction that follow one another; 1 for a plain one. */
  get ioCount(): number {
    return this.#u32[IO_COUNT / 4] as number;
  }

  /** KVM_EXIT_IO: where in `bytes` the data is: `ioWidth * ioCount` bytes, to be filled for an input. */
  get ioDataOffset(): number {
    return this.#u32[IO_DATA_OFFSET / 4] as number;
  }

  /** KVM_EXIT_MMIO: guest-physical address, exact below 2^53. */
  get mmioAddress(): number {
    return (this.#u32[MMIO_PHYS_ADDR / 4 + 1] as number) * TWO_32 + (this.#u32[MMIO_PHYS_ADDR / 4] as number);
  }

  /** KVM_EXIT_MMIO: 1 to 8 bytes. */
  get mmioLength(): number {
    return this.#u32[MMIO_LEN / 4] as number;
  }

  get mmioIsWrite(): boolean {
    return this.bytes[MMIO_IS_WRITE] !== 0;
  }

  /** KVM_EXIT_MMIO: the first four bytes of the data as a number; what is beyond `mmioLength` has no meaning. */
  get mmioLo(): number {
    return this.#u32[MMIO_DATA / 4] as number;
  }

  /** KVM_EXIT_MMIO: the last four of the eight bytes. */
  get mmioHi(): number {
    return this.#u32[MMIO_DATA / 4 + 1] as number;
  }

  /** KVM_EXIT_MMIO: what the guest's load gets at the next run(). */
  setMmioData(lo: number, hi: number): void {
    this.#u32[MMIO_DATA / 4] = lo;
    this.#u32[MMIO_DATA / 4 + 1] = hi;
  }

  /** KVM_EXIT_INTERNAL_ERROR: KVM_INTERNAL_ERROR_*. */
  get internalError(): number {
    return this.#u32[EXIT_UNION / 4] as number;
  }

  /** KVM_EXIT_FAIL_ENTRY: the processor's own reason, of VMX or SVM. */
  get failEntryReason(): number {
    return (this.#u32[EXIT_UNION / 4 + 1] as number) * TWO_32 + (this.#u32[EXIT_UNION / 4] as number);
  }

  /** KVM_EXIT_SYSTEM_EVENT: KVM_SYSTEM_EVENT_*. */
  get systemEvent(): number {
    return this.#u32[EXIT_UNION / 4] as number;
  }

  /** All of KVM_EXIT_IO at once, for code that is not on a hot path. */
  portExit(): PortExit {
    const { ioIsOut: out, ioWidth: width, ioPort: port, ioCount: count, ioDataOffset: at } = this;
    return { out, width, port, count, data: this.bytes.subarray(at, at + width * count) };
  }

  /** All of KVM_EXIT_MMIO at once. */
  mmioExit(): MmioExit {
    return this.page.mmioExit();
  }
}
