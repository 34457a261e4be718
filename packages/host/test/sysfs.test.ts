import { describe, expect, test } from "vitest";
import { EACCES, EINVAL, EIO, EISDIR, ELOOP, ENOENT, ENOTDIR, O_RDONLY, O_RDWR, O_WRONLY } from "../src/index.ts";
import { KernelError, ManualClock, ModelKernel, type ModelProcess, realClock } from "../src/model/index.ts";

const DEVICE = "/sys/devices/pci0000:00/0000:00:01.0";

function machine(): { kernel: ModelKernel; process: ModelProcess; written: string[] } {
  const kernel = new ModelKernel();
  const written: string[] = [];
  kernel.sysfs.file(`${DEVICE}/vendor`, { read: () => "0x1234\n" });
  kernel.sysfs.file(`${DEVICE}/reset`, {
    write(text) {
      if (text !== "1") return -EINVAL;
      written.push(text);
    },
  });
  kernel.sysfs.link("/sys/bus/pci/devices/0000:00:01.0", "../../../devices/pci0000:00/0000:00:01.0");
  kernel.sysfs.link(`${DEVICE}/iommu_group`, "/sys/kernel/iommu_groups/7");
  kernel.sysfs.dir("/sys/kernel/iommu_groups/7/devices");
  return { kernel, process: kernel.spawn(), written };
}

const text = (bytes: Uint8Array | number): string | number =>
  typeof bytes === "number" ? bytes : new TextDecoder().decode(bytes);

describe("host model: attribute files", () => {
  test("host sysfs: paths go through relative and absolute links and ..", () => {
    const { process } = machine();
    expect(text(process.readFile("/sys/bus/pci/devices/0000:00:01.0/vendor"))).toBe("0x1234\n");
    expect(text(process.readFile("/sys/bus/pci/devices/0000:00:01.0/../0000:00:01.0/./vendor"))).toBe("0x1234\n");
    expect(process.readlink("/sys/bus/pci/devices/0000:00:01.0/iommu_group")).toBe("/sys/kernel/iommu_groups/7");
    expect(process.readdir("/sys/bus/pci/devices/0000:00:01.0/iommu_group")).toEqual(["devices"]);
    expect(process.readdir(DEVICE)).toEqual(["iommu_group", "reset", "vendor"]);
    expect(process.exists("/sys/../../sys/kernel")).toBe(true);
  });

  test("host sysfs: errors are those of a path walk", () => {
    const { process, kernel } = machine();
    kernel.sysfs.link("/sys/a", "b");
    kernel.sysfs.link("/sys/b", "a");
    kernel.sysfs.link("/sys/dangling", "/nowhere");
    expect(process.readFile("/sys/none")).toBe(-ENOENT);
    expect(process.readFile("/sys/devices")).toBe(-EISDIR);
    expect(process.readFile(`${DEVICE}/vendor/x`)).toBe(-ENOTDIR);
    expect(process.readdir(`${DEVICE}/vendor`)).toBe(-ENOTDIR);
    expect(process.readlink(`${DEVICE}/vendor`)).toBe(-EINVAL);
    expect(process.readFile("/sys/a")).toBe(-ELOOP);
    expect([process.exists("/sys/dangling"), process.readlink("/sys/dangling")]).toEqual([false, "/nowhere"]);
    expect(() => kernel.sysfs.file(`${DEVICE}/vendor/x`, {})).toThrow(expect.objectContaining({ errno: ENOTDIR }));
    expect(() => kernel.sysfs.file("/", {})).toThrow(KernelError);
  });

  test("host sysfs: attributes say what they accept, by path and by descriptor", () => {
    const { process, written } = machine();
    const reset = `${DEVICE}/reset`;
    expect([process.writeFile(reset, "1"), process.writeFile(reset, "2")]).toEqual([1, -EINVAL]);
    expect([process.readFile(reset), process.writeFile(`${DEVICE}/vendor`, "1")]).toEqual([-EACCES, -EACCES]);
    expect([process.open(reset, O_RDONLY), process.open(reset, O_RDWR)]).toEqual([-EACCES, -EACCES]);
    const fd = process.open(reset, O_WRONLY);
    expect(process.write(fd, Uint8Array.of(0x31))).toBe(1);
    expect(process.pwrite(fd, Uint8Array.of(0x32), 0)).toBe(-EINVAL);
    expect(written).toEqual(["1", "1"]);
  });

  test("host sysfs: an open attribute is read in pieces and at offsets", () => {
    const { process } = machine();
    const fd = process.open(`${DEVICE}/vendor`, O_RDONLY);
    const into = new Uint8Array(5);
    expect([process.read(fd, into), text(into)]).toEqual([5, "0x123"]);
    expect([process.read(fd, into), text(into.subarray(0, 2))]).toEqual([2, "4\n"]);
    expect(process.read(fd, into)).toBe(0);
    expect([process.pread(fd, into, 2), text(into)]).toEqual([5, "1234\n"]);
  });

  test("host sysfs: binary attributes get offsets, handlers may refuse by KernelError", () => {
    const { kernel, process } = machine();
    const space = new Uint8Array(64);
    kernel.sysfs.file(`${DEVICE}/config`, {
      read: () => space,
      pread(into, offset) {
        into.set(space.subarray(offset, offset + into.length));
        return into.length;
      },
      pwrite(from, offset) {
        space.set(from, offset);
        return from.length;
      },
    });
    kernel.sysfs.file(`${DEVICE}/broken`, {
      read() {
        throw new KernelError(EIO);
      },
    });
    const fd = process.open(`${DEVICE}/config`, O_RDWR);
    expect(process.pwrite(fd, Uint8Array.of(7), 4)).toBe(1);
    expect(process.write(fd, Uint8Array.of(1, 2))).toBe(2);
    expect(process.write(fd, Uint8Array.of(3))).toBe(1);
    expect([...(process.readFile(`${DEVICE}/config`) as Uint8Array).subarray(0, 5)]).toEqual([1, 2, 3, 0, 7]);
    expect(process.writeFile(`${DEVICE}/config`, Uint8Array.of(9))).toBe(1);
    expect(space[0]).toBe(9);
    expect(process.readFile(`${DEVICE}/broken`)).toBe(-EIO);
    expect(process.read(process.open(`${DEVICE}/broken`, O_RDONLY), new Uint8Array(1))).toBe(-EIO);
  });

  test("host sysfs: removing takes a link, not its target, and whole directories", () => {
    const { kernel, process } = machine();
    expect(kernel.sysfs.remove("/sys/bus/pci/devices/0000:00:01.0")).toBe(true);
    expect(process.exists(`${DEVICE}/vendor`)).toBe(true);
    expect(kernel.sysfs.remove(DEVICE)).toBe(true);
    expect([process.exists(`${DEVICE}/vendor`), kernel.sysfs.remove(DEVICE)]).toEqual([false, false]);
    expect(process.readdir("/sys/bus/pci/devices")).toEqual([]);
  });

  test("host nodes: devices show up in directories beside other files", () => {
    const { kernel, process } = machine();
    kernel.registerNode("/dev/vfio/vfio", () => -EINVAL);
    const group = kernel.registerNode("/dev/vfio/12", () => -EINVAL);
    kernel.sysfs.file("/dev/vfio/zebra", {});
    expect(process.readdir("/dev/vfio")).toEqual(["12", "vfio", "zebra"]);
    expect(process.readdir("/dev")).toEqual(["vfio"]);
    expect([process.exists("/dev/vfio/12"), process.exists("/dev/vfio"), process.readlink("/dev/vfio/12")]).toEqual([
      true,
      true,
      -EINVAL,
    ]);
    group.remove();
    group.remove();
    expect(process.exists("/dev/vfio/12")).toBe(false);
    expect(process.readdir("/dev/none")).toBe(-ENOENT);
  });
});

describe("host model: clock", () => {
  test("host clock: manual time runs timers in due order, also those set on the way", () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    clock.after(20, () => seen.push(`b@${clock.now()}`));
    clock.after(10, () => {
      seen.push(`a@${clock.now()}`);
      clock.after(5, () => seen.push(`c@${clock.now()}`));
    });
    clock.after(20, () => seen.push("b2"));
    clock.after(15, () => seen.push("never")).cancel();
    clock.advance(9);
    expect(seen).toEqual([]);
    clock.advance(11);
    expect(seen).toEqual(["a@10", "c@15", "b@20", "b2"]);
    expect(clock.now()).toBe(20);
  });

  test("host clock: real timers fire and can be cancelled", async () => {
    const start = realClock.now();
    let cancelled = false;
    realClock
      .after(0, () => {
        cancelled = true;
      })
      .cancel();
    const keep = setInterval(() => undefined, 1000);
    await new Promise<void>((resolve) => realClock.after(5, resolve));
    clearInterval(keep);
    expect(cancelled).toBe(false);
    expect(realClock.now()).toBeGreaterThan(start);
  });
});
