// The same calls on the real kernel and on the modelled one give the same results.

import { release } from "node:os";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EFD_NONBLOCK, EFD_SEMAPHORE, type Host, realHost } from "../../src/index.ts";
import { ModelKernel } from "../../src/model/index.ts";
import { counter } from "../support/counter.ts";

type Call = (host: Host, fds: number[]) => unknown;

// Kernels since 6.9 check eventfd writes more strictly, so the model is that of the kernel below.
const [major = 0, minor = 0] = release().split(".").map(Number);
const profile = major > 6 || (major === 6 && minor >= 9) ? "6.12" : "6.1";

const MAX = 2n ** 64n - 1n;
const which = fc.nat(5);
const amount = fc.oneof(
  fc.bigInt({ min: 0n, max: 3n }),
  fc.constantFrom(MAX, MAX - 1n, MAX - 2n),
  fc.bigInt({ min: 0n, max: MAX }),
);

const call: fc.Arbitrary<Call> = fc.oneof(
  fc.tuple(fc.nat(9), fc.boolean(), fc.constantFrom(0, 0, 0, 0x10)).map(
    ([initial, semaphore, bad]): Call =>
      (host, fds) => {
        const fd = host.eventfd(initial, EFD_NONBLOCK | (semaphore ? EFD_SEMAPHORE : 0) | bad);
        if (fd >= 0) fds.push(fd);
        return fd < 0 ? fd : "descriptor";
      },
  ),
  which.map(
    (n): Call =>
      (host, fds) => {
        const fd = host.dup(fds[n] ?? -1);
        if (fd >= 0) fds.push(fd);
        return fd < 0 ? fd : "descriptor";
      },
  ),
  which.map(
    (n): Call =>
      (host, fds) =>
        host.close(fds[n] ?? -1),
  ),
  fc.tuple(which, fc.constantFrom(0, 7, 8, 12)).map(
    ([n, length]): Call =>
      (host, fds) => {
        const into = new Uint8Array(length).fill(0xcc);
        return [host.read(fds[n] ?? -1, into), ...into];
      },
  ),
  fc.tuple(which, amount).map(
    ([n, value]): Call =>
      (host, fds) =>
        host.write(fds[n] ?? -1, counter(value)),
  ),
  fc.tuple(which, fc.constantFrom(0, 7, 9)).map(
    ([n, length]): Call =>
      (host, fds) =>
        host.write(fds[n] ?? -1, new Uint8Array(length)),
  ),
  which.map(
    (n): Call =>
      (host, fds) =>
        host.ioctl(fds[n] ?? -1, 0x3b64),
  ),
  which.map(
    (n): Call =>
      (host, fds) =>
        host.pread(fds[n] ?? -1, new Uint8Array(8), 0),
  ),
  which.map(
    (n): Call =>
      (host, fds) =>
        host.mmap({ length: 4096, prot: 1, flags: 1, fd: fds[n] ?? -1 }),
  ),
  fc.constantFrom<[number, number, number]>([0, 1, 0x21], [1, 1, 0x20], [1, 1, 1]).map(
    ([length, prot, flags]): Call =>
      (host) =>
        host.mmap({ length, prot, flags }),
  ),
);

describe("host parity", () => {
  test("host parity: eventfds, descriptors and refusals are the same on the real and the modelled kernel", () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 30 }), (calls) => {
        const run = (host: Host): unknown[] => {
          const fds: number[] = [];
          const results = calls.map((c) => c(host, fds));
          host.exit();
          return results;
        };
        expect(run(new ModelKernel({ profile }).spawn())).toEqual(run(realHost()));
      }),
      { numRuns: 300 },
    );
  });
});
