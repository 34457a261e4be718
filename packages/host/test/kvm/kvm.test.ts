import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  EBADF,
  EFAULT,
  EINVAL,
  GuestMemory,
  type Host,
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_SHARED,
  type Mapping,
  O_CLOEXEC,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  realHost,
} from "../../src/index.ts";
import * as kvm from "../support/kvm.ts";

const RW = PROT_READ | PROT_WRITE;

let host: Host;
let system: number;
const owned: number[] = [];

function must<T>(result: T | number, what: string): T {
  if (typeof result === "number" && result < 0) throw new Error(`${what}: ${result}`);
  return result as T;
}

/** A descriptor that an ioctl returned: the test closes it. */
function own(fd: number, what: string): number {
  owned.push(must(fd, what));
  return fd;
}

beforeEach(() => {
  host = realHost();
  system = must(host.open("/dev/kvm", O_RDWR | O_CLOEXEC), "open /dev/kvm");
});
afterEach(() => {
  for (const fd of owned.splice(0).reverse()) host.close(fd);
  host.exit();
});

describe("host on /dev/kvm", () => {
  test("host ioctl: values go in, results come out", () => {
    expect(host.ioctl(system, kvm.KVM_GET_API_VERSION)).toBe(12);
    expect(host.ioctl(system, kvm.KVM_CHECK_EXTENSION, kvm.KVM_CAP_USER_MEMORY)).toBe(1);
    expect(host.ioctl(system, kvm.KVM_CHECK_EXTENSION, 0xffff)).toBe(0);
  });

  test("host ioctl: refusals come back as -errno", () => {
    expect(host.ioctl(system, 0xaeff)).toBe(-EINVAL);
    expect(host.ioctl(system, kvm.KVM_GET_API_VERSION, 1)).toBe(-EINVAL);
    expect(host.ioctl(system, kvm.KVM_GET_API_VERSION, 2n ** 64n - 1n)).toBe(-EINVAL);
    expect(host.ioctl(-1, kvm.KVM_GET_API_VERSION)).toBe(-EBADF);
    const vm = own(host.ioctl(system, kvm.KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    expect(host.ioctl(vm, kvm.KVM_SET_USER_MEMORY_REGION, 8n)).toBe(-EFAULT);
  });

  test("host memory: a WebAssembly memory and mapped RAM both serve as slots", () => {
    const vm = own(host.ioctl(system, kvm.KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    const wasm = sharedWasmMemory(2);
    const address = host.addressOf(new Uint8Array(wasm));
    expect(address % BigInt(host.pageSize)).toBe(0n);
    expect(host.addressOf(new Uint8Array(wasm, 100))).toBe(address + 100n);
    const region = kvm.kvm_userspace_memory_region.encode({ memory_size: 0x20000n, userspace_addr: address });
    expect(host.ioctl(vm, kvm.KVM_SET_USER_MEMORY_REGION, region)).toBe(0);
    const odd = kvm.kvm_userspace_memory_region.encode({ slot: 1, memory_size: 5n, userspace_addr: address });
    expect(host.ioctl(vm, kvm.KVM_SET_USER_MEMORY_REGION, odd)).toBe(-EINVAL);
  });

  test("host KVM: a 16-bit guest adds two registers, writes the sum to a port and halts", () => {
    const vm = own(host.ioctl(system, kvm.KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    const ram = must<Mapping>(
      host.mmap({ length: 0x10000, prot: RW, flags: MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE }),
      "mmap RAM",
    );
    const memory = new GuestMemory(ram.bytes!.buffer, ram.bytes!.byteOffset, ram.length);
    memory.writeBytes(0x1000, Uint8Array.from(program()));
    const region = { guest_phys_addr: 0n, memory_size: BigInt(ram.length), userspace_addr: ram.address };
    must(
      host.ioctl(vm, kvm.KVM_SET_USER_MEMORY_REGION, kvm.kvm_userspace_memory_region.encode(region)),
      "memory region",
    );

    const cpu = own(host.ioctl(vm, kvm.KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    const size = must(host.ioctl(system, kvm.KVM_GET_VCPU_MMAP_SIZE), "KVM_GET_VCPU_MMAP_SIZE");
    const run = must<Mapping>(host.mmap({ length: size, prot: RW, flags: MAP_SHARED, fd: cpu }), "mmap kvm_run");

    const raw = new Uint8Array(kvm.kvm_sregs.size);
    must(host.ioctl(cpu, kvm.KVM_GET_SREGS, raw), "KVM_GET_SREGS");
    const sregs = kvm.kvm_sregs.decode(raw);
    sregs.cs.base = 0n;
    sregs.cs.selector = 0;
    must(host.ioctl(cpu, kvm.KVM_SET_SREGS, kvm.kvm_sregs.encode(sregs)), "KVM_SET_SREGS");
    const general = Array<bigint>(16).fill(0n);
    general[0] = 30n;
    general[1] = 12n;
    must(host.ioctl(cpu, kvm.KVM_SET_REGS, kvm.kvm_regs.encode({ general, rip: 0x1000n, rflags: 2n })), "KVM_SET_REGS");

    expect(host.ioctl(cpu, kvm.KVM_RUN)).toBe(0);
    expect(run.load(kvm.RUN.exit_reason, 4)).toBe(kvm.KVM_EXIT_IO);
    expect([run.load(kvm.RUN.io_direction, 1), run.load(kvm.RUN.io_size, 1)]).toEqual([1, 1]);
    expect([run.load(kvm.RUN.io_port, 2), run.load(kvm.RUN.io_count, 4)]).toEqual([0x3f8, 1]);
    expect(run.load(run.load(kvm.RUN.io_data_offset, 4), 1)).toBe(42);

    expect(host.ioctl(cpu, kvm.KVM_RUN)).toBe(0);
    expect(run.load(kvm.RUN.exit_reason, 4)).toBe(kvm.KVM_EXIT_HLT);
    expect(memory.u16le(0x2000)).toBe(42);
    const after = new Uint8Array(kvm.kvm_regs.size);
    must(host.ioctl(cpu, kvm.KVM_GET_REGS, after), "KVM_GET_REGS");
    expect(kvm.kvm_regs.decode(after).rip).toBe(0x1000n + BigInt(program().length));
  });
});

/** The buffer of a shared WebAssembly memory of `pages` times 64 KiB. Node's types do not declare WebAssembly. */
function sharedWasmMemory(pages: number): SharedArrayBuffer {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: {
      Memory: new (shape: { initial: number; maximum: number; shared: true }) => { buffer: SharedArrayBuffer };
    };
  };
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
}

/** The guest, instruction by instruction. */
function program(): number[] {
  return [
    [0x01, 0xd8], // add ax, bx
    [0xa3, 0x00, 0x20], // mov [0x2000], ax
    [0xba, 0xf8, 0x03], // mov dx, 0x3f8
    [0xee], // out dx, al
    [0xf4], // hlt
  ].flat();
}
