import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import {
  EBADF,
  EINVAL,
  EISDIR,
  ENODEV,
  ENOENT,
  ENOTDIR,
  ENOTTY,
  EPERM,
  ESPIPE,
  type Host,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  type Mapping,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  realHost,
} from "../../src/index.ts";
import { counter, readCounter } from "../support/counter.ts";

let host: Host = realHost();
afterEach(() => {
  host.exit();
  host = realHost();
});

const RW = PROT_READ | PROT_WRITE;

describe("host on Linux: files and descriptors", () => {
  test("host real: whole files, directories and links, with -errno for what is not there", () => {
    expect(new TextDecoder().decode(host.readFile("/proc/self/comm") as Uint8Array).length).toBeGreaterThan(1);
    expect([host.readFile("/none"), host.readFile("/proc"), host.readdir("/proc/self/comm")]).toEqual([
      -ENOENT,
      -EISDIR,
      -ENOTDIR,
    ]);
    expect([host.readlink("/proc/self/comm"), host.writeFile("/none", "x")]).toEqual([-EINVAL, -ENOENT]);
    expect(host.readlink("/proc/self")).toBe(String(process.pid));
    expect(host.readdir("/proc/self/task")).toContain(String(process.pid));
    expect([host.exists("/proc/self"), host.exists("/none")]).toEqual([true, false]);
    expect([host.stat("/dev/null"), host.stat("/none")]).toEqual([{ mode: 0o666, uid: 0, gid: 0 }, -ENOENT]);
  });

  test("host real: writeFile writes into a file and neither makes nor truncates one", () => {
    const folder = mkdtempSync(join(tmpdir(), "minivmm-host-"));
    try {
      const path = join(folder, "attribute");
      expect(host.writeFile(path, "1")).toBe(-ENOENT);
      writeFileSync(path, "abc");
      expect(host.writeFile(path, Uint8Array.of(0x58))).toBe(1);
      expect(new TextDecoder().decode(host.readFile(path) as Uint8Array)).toBe("Xbc");
      const fd = host.open(path, O_RDWR);
      const into = new Uint8Array(4);
      expect([host.pread(fd, into, 1), [...into]]).toEqual([2, [0x62, 0x63, 0, 0]]);
      expect([host.pwrite(fd, Uint8Array.of(0x59), 2), host.read(fd, into), into[2]]).toEqual([1, 3, 0x59]);
      expect(() => host.watch(fd, () => undefined)).toThrow(
        expect.objectContaining({ code: "WATCH_REFUSED", errno: EPERM }),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("host real: system calls that fail say why", () => {
    expect([host.open("/none", O_RDWR), host.close(-1), host.dup(-1), host.read(-1, new Uint8Array(1))]).toEqual([
      -ENOENT,
      -EBADF,
      -EBADF,
      -EBADF,
    ]);
    const fd = host.open("/dev/null", O_RDONLY);
    expect([
      host.write(fd, new Uint8Array(1)),
      host.ioctl(fd, 0x3b64),
      host.ioctl(fd, 0x3b64, new Uint8Array(8)),
    ]).toEqual([-EBADF, -ENOTTY, -ENOTTY]);
    expect(host.mmap({ length: 4096, prot: RW, flags: MAP_SHARED, fd })).toBeTypeOf("number");
    const event = host.eventfd(0, 0);
    expect(host.pread(event, new Uint8Array(8), 0)).toBe(-ESPIPE);
    expect(host.mmap({ length: 4096, prot: RW, flags: MAP_SHARED, fd: event })).toBe(-ENODEV);
    expect(host.eventfd(0, 0x10)).toBe(-EINVAL);
    expect(() => host.watch(9999, () => undefined)).toThrow(expect.objectContaining({ errno: EBADF }));
  });

  test("host real: exit closes what the host handed out", () => {
    const fd = host.eventfd(0, 0);
    const copy = host.dup(fd);
    const mapping = host.mmap({ length: 4096, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS }) as Mapping;
    host.watch(fd, () => undefined);
    host.exit();
    expect([host.close(fd), host.close(copy), mapping.bytes?.length]).toEqual([-EBADF, -EBADF, 0]);
  });

  test("host real: limits can be lowered and read back", () => {
    const { soft, hard } = host.getrlimit("nofile");
    expect(soft).toBeLessThanOrEqual(hard);
    expect(host.setrlimit("nofile", { soft: soft - 1, hard })).toBe(0);
    expect(host.getrlimit("nofile")).toEqual({ soft: soft - 1, hard });
    expect(host.setrlimit("nofile", { soft, hard })).toBe(0);
    expect(host.setrlimit("nofile", { soft: 2, hard: 1 })).toBe(-EINVAL);
    expect(host.getrlimit("memlock").soft).toBeGreaterThan(0);
  });
});

describe("host on Linux: memory", () => {
  test("host real: mapped memory is loaded, stored and addressed", () => {
    const mapping = host.mmap({ length: 10, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS }) as Mapping;
    expect(mapping.length).toBe(host.pageSize);
    mapping.store(8, 4, 0xdeadbeef);
    expect([mapping.load(8, 1), mapping.load(10, 2), mapping.load(8, 4)]).toEqual([0xef, 0xdead, 0xdeadbeef]);
    expect(host.addressOf(mapping.bytes!.subarray(8))).toBe(mapping.address + 8n);
    expect([mapping.close(), mapping.close()]).toEqual([0, 0]);
    expect(() => mapping.load(8, 4)).toThrow(expect.objectContaining({ code: "MAPPING_RANGE" }));
  });

  test("host real: a mapping that no view can show is refused before it is made", () => {
    const request = { prot: PROT_READ, flags: MAP_PRIVATE | MAP_ANONYMOUS };
    expect(() => host.mmap({ ...request, length: 2 ** 32 + 1 })).toThrow(
      expect.objectContaining({ code: "MAPPING_TOO_LARGE" }),
    );
    expect(host.mmap({ ...request, length: 0 })).toBe(-EINVAL);
  });
});

describe("host on Linux: readiness", () => {
  const ticks = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  test("host real: watchers of one descriptor share it and stop separately", async () => {
    const fd = host.eventfd(0, 0o4000);
    const seen: string[] = [];
    let wake: () => void = () => undefined;
    const first = host.watch(fd, () => seen.push("first"));
    const second = host.watch(fd, () => {
      seen.push(`second ${readCounter(host, fd)}`);
      wake();
    });
    const next = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    let arrived = next();
    host.write(fd, counter(2n));
    expect(seen).toEqual([]);
    await arrived;
    expect(seen).toEqual(["first", "second 2"]);
    first.close();
    arrived = next();
    host.write(fd, counter(1n));
    await arrived;
    expect(seen).toEqual(["first", "second 2", "second 1"]);
    second.close();
    second.close();
    host.write(fd, counter(1n));
    await ticks(20);
    expect(seen).toHaveLength(3);
  });

  test("host real: a descriptor number that is used again is watched afresh", async () => {
    const old = host.eventfd(1, 0o4000);
    const stale = host.watch(old, () => {
      throw new Error("the old watcher was called");
    });
    host.close(old);
    const fd = host.eventfd(1, 0o4000);
    expect(fd).toBe(old);
    const readable = new Promise<bigint | null>((resolve) => {
      host.watch(fd, () => resolve(readCounter(host, fd)));
    });
    stale.close();
    expect(await readable).toBe(1n);
  });
});
