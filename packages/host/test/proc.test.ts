// What processes of the modelled kernel see of each other in /proc, and who may open a node: as on Linux.
import { describe, expect, test } from "vitest";
import { EACCES, EFD_CLOEXEC, ENOENT, O_RDONLY, O_RDWR } from "../src/index.ts";
import { ModelKernel } from "../src/model/index.ts";

function host() {
  const kernel = new ModelKernel();
  kernel.registerNode("/dev/x", () => ({ kind: "x" }), 0o666);
  const text = (bytes: Uint8Array | number) => (typeof bytes === "number" ? bytes : new TextDecoder().decode(bytes));
  return { kernel, text };
}

describe("host proc: processes", () => {
  test("host proc: each has a pid, a name and descriptors that say what they are", () => {
    const { kernel, text } = host();
    const [viewer, other] = [kernel.spawn(), kernel.spawn({ comm: "qemu-system-x86", root: false })];
    const at = `/proc/${other.pid}`;
    const fd = other.open("/dev/x", O_RDWR);
    const event = other.eventfd(0, EFD_CLOEXEC);
    expect(text(viewer.readFile(`${at}/comm`))).toBe("qemu-system-x86\n");
    expect(text(viewer.readFile(`${at}/status`))).toMatch(/^Name:\tqemu-system-x86\nPid:\t\d+\nUid:\t1000\t1000\t/);
    expect(viewer.readdir(`${at}/fd`)).toEqual([String(fd), String(event)]);
    expect(viewer.readlink(`${at}/fd/${fd}`)).toBe("/dev/x");
    expect(viewer.readlink(`${at}/fd/${event}`)).toBe("anon_inode:[eventfd]");
    expect(viewer.readlink(`${at}/fd/77`)).toBe(-ENOENT);
    expect(viewer.readdir("/proc")).toEqual(["self", String(viewer.pid), String(other.pid)].sort());
    other.close(fd);
    expect(viewer.readlink(`${at}/fd/${fd}`)).toBe(-ENOENT);
  });

  test("host proc: self is who asks, and a process that has ended is gone", () => {
    const { kernel } = host();
    const [viewer, other] = [kernel.spawn(), kernel.spawn()];
    expect(viewer.readlink("/proc/self")).toBe(String(viewer.pid));
    expect(viewer.readdir("/proc/self/fd")).toEqual([]);
    const child = other.fork();
    expect([viewer.exists(`/proc/${child.pid}`), child.pid === other.pid]).toEqual([true, false]);
    child.exit();
    child.exit();
    expect([viewer.exists(`/proc/${child.pid}`), viewer.readdir(`/proc/${child.pid}/fd`)]).toEqual([false, -ENOENT]);
    expect(kernel.spawn().pid).toBeGreaterThan(child.pid);
  });

  test("host proc: files that others put under /proc stay where they are", () => {
    const { kernel, text } = host();
    const process = kernel.spawn();
    kernel.sysfs.file("/proc/self/mountinfo", { read: () => "mounts" });
    kernel.sysfs.file("/proc/cmdline", { read: () => "quiet" });
    expect(text(process.readFile("/proc/self/mountinfo"))).toBe("mounts");
    expect(process.readdir("/proc")).toEqual(["cmdline", "self", String(process.pid)].sort());
    expect(process.readdir("/proc/self")).toEqual(["comm", "fd", "mountinfo", "status"]);
  });

  test.each([
    ["root", { root: true }, true],
    ["the same user", { root: false }, true],
    ["the same user with fewer capabilities", { root: false }, false, ["NET_ADMIN"]],
    ["the same user with as many", { root: false, capabilities: ["NET_ADMIN"] }, true, ["CAP_NET_ADMIN"]],
    ["another user", { root: false, uid: 1001 }, false],
    ["another user who may trace", { root: false, uid: 1001, capabilities: ["SYS_PTRACE"] }, true],
  ])("host proc: whether %s sees descriptors", (_who, options, sees, capabilities: string[] = []) => {
    const { kernel, text } = host();
    const target = kernel.spawn({ root: false, capabilities, comm: "holder" });
    const fd = target.open("/dev/x", O_RDWR);
    const viewer = kernel.spawn(options);
    const at = `/proc/${target.pid}`;
    expect(viewer.readdir(`${at}/fd`)).toEqual(sees ? [String(fd)] : -EACCES);
    expect(viewer.readlink(`${at}/fd/${fd}`)).toBe(sees ? "/dev/x" : -EACCES);
    // Everybody sees that it is there, and its name.
    expect(text(viewer.readFile(`${at}/comm`))).toBe("holder\n");
  });
});

describe("host model: permissions of nodes", () => {
  test.each([
    [0o600, {}, EACCES],
    [0o666, {}, 0],
    [0o600, { uid: 1000 }, 0],
    [0o066, { uid: 1000 }, EACCES],
    [0o660, { gid: 1000 }, 0],
    [0o606, { gid: 1000 }, EACCES],
  ])("host node: mode %o with owner %o answers %i", (mode, owner, errno) => {
    const { kernel } = host();
    kernel.nodes.set("/dev/y", { open: () => ({ kind: "y" }), mode, ...owner });
    const user = kernel.spawn({ root: false });
    expect(Math.min(user.open("/dev/y", O_RDWR), 0)).toBe(-errno || 0);
    expect(user.stat("/dev/y")).toEqual({ mode, uid: 0, gid: 0, ...owner });
    expect(kernel.spawn().open("/dev/y", O_RDONLY)).toBe(0);
  });

  test("host node: stat of what is no node", () => {
    const { kernel } = host();
    const process = kernel.spawn();
    kernel.sysfs.file("/sys/a/rw", { read: () => "", write: () => 0 });
    kernel.sysfs.file("/sys/a/wo", { write: () => 0 });
    expect(["/sys/a/rw", "/sys/a/wo", "/sys/a", "/none"].map((path) => process.stat(path))).toEqual([
      { mode: 0o644, uid: 0, gid: 0 },
      { mode: 0o200, uid: 0, gid: 0 },
      { mode: 0o755, uid: 0, gid: 0 },
      -ENOENT,
    ]);
  });
});
