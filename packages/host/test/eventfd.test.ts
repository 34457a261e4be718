import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EAGAIN, EFD_NONBLOCK, EFD_SEMAPHORE, EINVAL } from "../src/index.ts";
import { EventFd, ModelKernel } from "../src/model/index.ts";
import { counter, readCounter } from "./support/counter.ts";

const MAX = 2n ** 64n - 1n;

describe("host model: eventfd", () => {
  test("host eventfd: flags and short buffers are checked", () => {
    const process = new ModelKernel().spawn();
    expect(process.eventfd(0, 0x10)).toBe(-EINVAL);
    const fd = process.eventfd(5, EFD_NONBLOCK);
    expect(process.read(fd, new Uint8Array(7))).toBe(-EINVAL);
    expect(process.write(fd, new Uint8Array(7))).toBe(-EINVAL);
    expect(process.write(fd, counter(MAX))).toBe(-EINVAL);
    expect(readCounter(process, fd)).toBe(5n);
    expect(process.read(fd, new Uint8Array(8))).toBe(-EAGAIN);
  });

  test("host eventfd: kernels before 6.9 take the first eight bytes of a longer write", () => {
    const long = new Uint8Array(9).fill(1);
    const write = (profile: "6.12" | "6.1"): number => {
      const process = new ModelKernel({ profile }).spawn();
      return process.write(process.eventfd(0, 0), long);
    };
    expect([write("6.12"), write("6.1")]).toEqual([-EINVAL, 8]);
  });

  test("host eventfd: a write stops at 2^64 - 2, a kernel signal saturates at 2^64 - 1", () => {
    const process = new ModelKernel().spawn();
    const fd = process.eventfd(0, EFD_NONBLOCK);
    expect(process.write(fd, counter(MAX - 1n))).toBe(8);
    expect(process.write(fd, counter(1n))).toBe(-EAGAIN);
    expect(process.write(fd, counter(0n))).toBe(8);
    const event = EventFd.from(process.fileOf(fd)) as EventFd;
    event.signal();
    event.signal(77);
    expect(readCounter(process, fd)).toBe(MAX);
  });

  /** A counter of 64 bits is the whole specification; the implementation has two halves. */
  test("host eventfd: behaves as one 64-bit counter under any calls", () => {
    const amount = fc.oneof(
      fc.bigInt({ min: 0n, max: MAX }),
      fc.bigInt({ min: 0n, max: 3n }),
      fc.constantFrom(0xffff_fffen, 0xffff_ffffn, 0x1_0000_0000n, MAX - 1n),
    );
    const step = fc.oneof(
      amount.map((n) => ({ op: "write" as const, n })),
      fc.integer({ min: 0, max: 0xffff_ffff }).map((n) => ({ op: "signal" as const, n: BigInt(n) })),
      fc.constant({ op: "read" as const, n: 0n }),
      fc.constant({ op: "drain" as const, n: 0n }),
    );
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.array(step),
        (semaphore, initial, steps) => {
          const process = new ModelKernel().spawn();
          const fd = process.eventfd(initial, EFD_NONBLOCK | (semaphore ? EFD_SEMAPHORE : 0));
          const event = EventFd.from(process.fileOf(fd)) as EventFd;
          let model = BigInt(initial);
          const take = (): bigint => {
            const taken = semaphore && model > 0n ? 1n : model;
            model -= taken;
            return taken;
          };
          for (const { op, n } of steps) {
            if (op === "write") {
              const expected = n === MAX ? -EINVAL : n > MAX - 1n - model ? -EAGAIN : 8;
              expect(process.write(fd, counter(n))).toBe(model === MAX && n !== MAX ? -EAGAIN : expected);
              if (expected === 8) model += n;
            } else if (op === "signal") {
              event.signal(Number(n));
              model = model + n > MAX ? MAX : model + n;
            } else if (op === "read") {
              expect(event.poll()).toBe(model > 0n);
              expect(readCounter(process, fd)).toBe(model > 0n ? take() : null);
            } else {
              expect(event.drain()).toBe(Number(take()));
            }
            expect(event.count).toBe(Number(model));
          }
        },
      ),
    );
  });

  test("host eventfd: kernel users wake first and may leave watchers nothing", () => {
    const process = new ModelKernel().spawn();
    const fd = process.eventfd(0, 0);
    const event = EventFd.from(process.fileOf(fd)) as EventFd;
    const seen: string[] = [];
    const watch = process.watch(fd, () => seen.push(`watch ${event.count}`));
    const waker = event.onWake(() => seen.push(`irqfd ${event.drain()}`));
    process.write(fd, counter(3n));
    expect(seen).toEqual(["irqfd 3"]);
    waker.close();
    event.signal(2);
    expect(seen).toEqual(["irqfd 3", "watch 2"]);
    watch.close();
    event.signal();
    expect(seen).toHaveLength(2);
  });

  test("host eventfd: what was readable before the watch is reported once, asynchronously", async () => {
    const process = new ModelKernel().spawn();
    const fd = process.eventfd(1, 0);
    const closed = process.eventfd(1, 0);
    let calls = 0;
    process.watch(fd, () => calls++);
    process.watch(closed, () => calls++).close();
    expect(calls).toBe(0);
    await Promise.resolve();
    expect(calls).toBe(1);
  });

  test("host eventfd: the last close hangs kernel users up, who keep a working counter", () => {
    const process = new ModelKernel().spawn();
    const fd = process.eventfd(0, 0);
    const copy = process.dup(fd);
    const event = EventFd.from(process.fileOf(fd)) as EventFd;
    let hangups = 0;
    event.onHangup(() => hangups++);
    process.close(fd);
    expect(hangups).toBe(0);
    process.close(copy);
    expect(hangups).toBe(1);
    event.signal();
    expect(event.count).toBe(1);
  });
});
