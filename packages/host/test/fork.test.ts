import { describe, expect, test } from "vitest";
import {
  EBADF,
  ENOMEM,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  type Mapping,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
} from "../src/index.ts";
import { ModelKernel, mapBytes } from "../src/model/index.ts";
import { counter, readCounter } from "./support/counter.ts";

const RW = PROT_READ | PROT_WRITE;
const PAGE = 4096;

describe("host model: fork", () => {
  test("host fork: descriptors show the same open files and are closed separately", () => {
    const kernel = new ModelKernel();
    const parent = kernel.spawn();
    const first = parent.eventfd(0, 0);
    const fd = parent.eventfd(0, 0);
    parent.close(first);
    const child = parent.fork();
    child.write(fd, counter(4n));
    expect(readCounter(parent, fd)).toBe(4n);
    expect([child.eventfd(0, 0), parent.close(first)]).toEqual([first, -EBADF]);
    child.exit();
    expect([parent.write(fd, counter(1n)), parent.fileOf(fd)?.refs]).toEqual([8, 1]);
  });

  test("host fork: private memory is copied, shared memory is shared, at the same addresses", () => {
    const parent = new ModelKernel().spawn();
    const map = (flags: number): number =>
      Number((parent.mmap({ length: PAGE, prot: RW, flags: flags | MAP_ANONYMOUS }) as Mapping).address);
    const [own, shared] = [map(MAP_PRIVATE), map(MAP_SHARED)];
    const adopted = Number(parent.addressOf(new Uint8Array(PAGE).fill(9)));
    parent.mm.write(own, Uint8Array.of(1));
    const child = parent.fork();
    for (const at of [own, shared, adopted]) expect(child.mm.write(at, Uint8Array.of(7))).toBe(true);
    const parentSees = [own, shared, adopted].map((at) => parent.mm.resolve(at, 1)?.[0]);
    expect(parentSees).toEqual([1, 7, 9]);
    const same = [own, shared, adopted].map((at) => parent.mm.virtToPhys(at) === child.mm.virtToPhys(at));
    expect(same).toEqual([false, true, false]);
    const hpa = parent.mm.virtToPhys(shared);
    parent.exit();
    expect(child.kernel.physical.resolve(hpa, 1)?.[0]).toBe(7);
  });

  test("host fork: a mapped file is released when both processes are gone", () => {
    const kernel = new ModelKernel();
    let released = 0;
    const memory = new Uint8Array(PAGE);
    kernel.registerNode("/dev/x", () => ({
      kind: "x",
      mmap: (call) => mapBytes(call, memory),
      release: () => released++,
    }));
    const parent = kernel.spawn();
    const fd = parent.open("/dev/x", O_RDWR);
    parent.mmap({ length: PAGE, prot: RW, flags: MAP_SHARED, fd });
    const child = parent.fork();
    parent.exit();
    child.close(fd);
    expect(released).toBe(0);
    child.exit();
    expect(released).toBe(1);
  });

  test("host fork: limits and capabilities are inherited, locked pages are not; dropping is for one process", () => {
    const parent = new ModelKernel().spawn({ memlock: PAGE, capabilities: ["IPC_LOCK"] });
    expect(parent.mm.account(5)).toBe(0);
    const child = parent.fork();
    expect([child.getrlimit("memlock").soft, child.mm.lockedPages, child.has("IPC_LOCK")]).toEqual([PAGE, 0, true]);
    child.drop("CAP_IPC_LOCK");
    expect([child.mm.account(2), child.mm.account(1), parent.mm.account(2)]).toEqual([-ENOMEM, 0, 0]);
  });

  test("host proc: locked memory is told in /proc/self/status as the real kernel tells it", () => {
    const process = new ModelKernel({ arch: "ppc64le" }).spawn();
    process.mm.account(3);
    const status = new TextDecoder().decode(process.readFile("/proc/self/status") as Uint8Array);
    expect(/^VmLck:\s+(\d+) kB$/m.exec(status)?.[1]).toBe("192");
  });
});
