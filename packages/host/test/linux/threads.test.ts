import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { EFD_NONBLOCK, EINTR, EINVAL, ESRCH, realHost } from "../../src/index.ts";

const NR_READ = 0;

/** Waits until the kernel says that a thread of this process sleeps in read(fd). */
async function blockedInRead(thread: number, fd: number): Promise<void> {
  const call = `${NR_READ} 0x${fd.toString(16)} `;
  const state = `/proc/self/task/${thread}/syscall`;
  while (!readFileSync(state, "utf8").startsWith(call)) await new Promise((resolve) => setImmediate(resolve));
}

describe("host on Linux: threads", () => {
  const host = realHost();

  test("host threads: a worker that is blocked in read() is interrupted from another thread", async () => {
    const fd = host.eventfd(0, 0);
    const worker = new Worker(new URL("../support/blocked.mjs", import.meta.url), { workerData: { fd }, execArgv: [] });
    const [thread] = (await once(worker, "message")) as [number];
    expect(thread).not.toBe(host.threads?.current());
    await blockedInRead(thread, fd);
    const result = once(worker, "message");
    expect(host.threads?.interrupt(thread)).toBe(0);
    expect(await result).toEqual([-EINTR]);
    host.close(fd);
    await worker.terminate();
  });

  test("host threads: a signal to oneself or to nobody does no harm", () => {
    const own = host.threads?.current() as number;
    expect(own).toBeGreaterThan(0);
    expect(host.threads?.interrupt(own)).toBe(0);
    const fd = host.eventfd(1, EFD_NONBLOCK);
    expect(host.read(fd, new Uint8Array(8))).toBe(8);
    host.close(fd);
    expect([host.threads?.interrupt(2 ** 22 + 1), host.threads?.interrupt(0)]).toEqual([-ESRCH, -EINVAL]);
  });
});
