import { EACCES, EINVAL, O_RDWR } from "@minivmm/host";
import { ManualClock } from "@minivmm/host/model";
import { memoryDisk } from "@minivmm/pci/devices";
import { hotResetInfo } from "@minivmm/pci-hotreset";
import {
  iommuGroupOf,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VfioContainer,
  VfioGroup,
  vfioIoctl,
} from "@minivmm/vfio-core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ModelHostError,
  modelHost,
  modelHostDescription,
  modelHostNames,
  POWER9_DISK,
  parseModelSpec,
} from "../src/index.ts";

describe("model-host: ready-made hosts", () => {
  it.each(modelHostNames())("%s is plain data and can be built", (name) => {
    const description = modelHostDescription(name);
    expect(JSON.parse(JSON.stringify(description))).toEqual(description);
    using host = modelHost(description);
    expect(host.topology.functions.length).toBeGreaterThan(0);
    const process = host.spawn();
    expect(process.exists("/dev/vfio/vfio")).toBe(true);
    process.exit();
  });

  it("power9 gives its disk to user space", () => {
    using host = modelHost("power9", { disk: new Uint8Array(1 << 20) });
    const process = host.spawn();
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, POWER9_DISK));
    expect(group.status()).toEqual({ viable: true, containerSet: false });
    group.setContainer(container);
    container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
    const device = group.device(POWER9_DISK);
    expect(device.readConfig(0, 4)).toBe(0x00101b36);
    process.exit();
    expect(host.vfio.groups.get(group.id)?.opened).toBe(false);
  });

  it("power9 keeps the disk of its own driver", () => {
    using host = modelHost("power9");
    const process = host.spawn();
    expect(() => VfioGroup.open(process, iommuGroupOf(process, "0000:01:00.0"))).toThrow(
      "no device of IOMMU group 0 is bound",
    );
  });

  it("resets a whole bus for the owner of all its functions", () => {
    using host = modelHost("powernv9");
    const process = host.spawn();
    const group = VfioGroup.open(process, iommuGroupOf(process, "0002:01:00.0"));
    const container = VfioContainer.open(process);
    group.setContainer(container);
    container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
    const device = group.device("0002:01:00.0");
    expect(hotResetInfo(device).map(({ bdf }) => bdf)).toEqual(["0002:01:00.0"]);
  });

  it("shares one group among the functions behind a bridge, or below a host bridge of a guest", () => {
    for (const [name, members] of [
      ["powernv9", ["0003:02:01.0", "0003:02:02.0", "0003:02:03.0"]],
      ["pseries-l1", ["0003:00:00.0", "0003:00:01.0", "0003:00:02.0"]],
    ] as const) {
      using host = modelHost(name);
      expect(host.spawn().readdir("/sys/kernel/iommu_groups/3/devices")).toEqual(members);
      expect(host.topology.groups.length).toBe(4);
    }
  });

  it("maps DMA of a device through type1 on the desktop", () => {
    const clock = new ManualClock();
    using host = modelHost("desktop", { clock });
    const process = host.spawn();
    const bdf = "0000:00:05.0";
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, bdf));
    group.setContainer(container);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    const memory = new Uint8Array(4096);
    const map = new BigUint64Array([32n | (3n << 32n), process.addressOf(memory), 0x1000n, 4096n]);
    expect(process.ioctl(container.fd, vfioIoctl("x86_64", 13), new Uint8Array(map.buffer))).toBe(0);
    const device = group.device(bdf);
    device.writeConfig(4, 2, 6);
    // The device stores eight bytes of its buffer, which are zero.
    memory.fill(0xff, 0, 16);
    for (const [register, value] of [
      [0x80, 0x40000],
      [0x88, 0x1000],
      [0x90, 8],
      [0x98, 3],
    ] as const) {
      device.writeRegion(0, register, 8, value, 0);
    }
    clock.advance(1000);
    expect([...memory.subarray(0, 16)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
  });

  it("lets sysfs write configuration space in whole registers", () => {
    using host = modelHost("power9");
    const process = host.spawn();
    const fd = process.open("/sys/bus/pci/devices/0002:01:00.0/config", O_RDWR);
    expect(process.pwrite(fd, new Uint8Array([0xff, 0xff, 0xff, 0xff]), 0x10)).toBe(4);
    const bar = new Uint8Array(4);
    expect(process.pread(fd, bar, 0x10)).toBe(4);
    expect([...bar]).toEqual([0, 0, 0xf0, 0xff]);
  });

  it("shows its functions and groups in sysfs", () => {
    using host = modelHost("power9");
    const process = host.spawn();
    const text = (path: string): string => new TextDecoder().decode(process.readFile(path) as Uint8Array);
    const at = `/sys/bus/pci/devices/${POWER9_DISK}`;
    expect(text(`${at}/vendor`)).toBe("0x1b36\n");
    expect(text(`${at}/class`)).toBe("0x010802\n");
    expect((process.readFile(`${at}/config`) as Uint8Array).slice(0, 4)).toEqual(new Uint8Array([0x36, 0x1b, 0x10, 0]));
    expect(process.readlink(`${at}/driver`)).toBe("/sys/bus/pci/drivers/vfio-pci");
    expect(process.readlink(`${at}/iommu_group`)).toBe("/sys/kernel/iommu_groups/1");
    expect(process.readdir("/sys/kernel/iommu_groups/3/devices")).toEqual(["0003:02:01.0", "0003:02:02.0"]);
    expect(text(`${at}/resource`).split("\n").length).toBe(14);
    expect(process.writeFile(`${at}/vendor`, "1")).toBe(-EACCES);
  });
});

describe("model-host: ways to reset a function, in sysfs", () => {
  const at = "/sys/bus/pci/devices/0000:02:00.0";
  const read = (process: { readFile(path: string): Uint8Array | number }) =>
    new TextDecoder().decode(process.readFile(`${at}/reset_method`) as Uint8Array);

  it("lists the methods, takes an order, and refuses what the function has not", () => {
    using host = modelHost("desktop");
    const process = host.spawn();
    const methods = host.topology.get("0000:02:00.0").resetMethods;
    expect(read(process)).toBe(`${methods.join(" ")}\n`);
    expect(process.writeFile(`${at}/reset_method`, "warp\n")).toBe(-EINVAL);
    expect(process.writeFile(`${at}/reset_method`, "bus\n")).toBe(4);
    expect(read(process)).toBe("bus\n");
  });

  it("resets through reset, and has no such file where nothing can", () => {
    using host = modelHost("desktop");
    const process = host.spawn();
    expect(process.writeFile(`${at}/reset`, "0\n")).toBe(-EINVAL);
    expect(process.writeFile(`${at}/reset`, "1\n")).toBe(2);
    expect(process.exists("/sys/bus/pci/devices/0000:00:05.0/reset")).toBe(false);
    // reset_method came with 5.15.
    using old = modelHost("desktop", { profile: "4.12" });
    expect([old.spawn().exists(`${at}/reset`), old.spawn().exists(`${at}/reset_method`)]).toEqual([true, false]);
  });
});

describe("model-host: descriptions", () => {
  const base = modelHostDescription("power9");

  it.each([
    ["an unknown key", { ...base, wings: 2 }],
    ["no domains", { ...base, domains: [] }],
    ["a place that is none", { ...base, domains: [{ domain: 0, devices: [{ at: "zz", model: "edu" }] }] }],
    ["neither model nor bridge", { ...base, domains: [{ domain: 0, devices: [{ at: "00.0" }] }] }],
    [
      "children below a device",
      { ...base, domains: [{ domain: 0, devices: [{ at: "00.0", model: "edu", children: [] }] }] },
    ],
    ["nothing", null],
  ])("refuses %s with its place", (_what, description) => {
    expect(() => modelHost(description as never)).toThrow(expect.objectContaining({ code: "MODEL_DESCRIPTION" }));
  });

  it("names the ready-made hosts when asked for another", () => {
    expect(() => modelHost("vax")).toThrow(ModelHostError);
    expect(() => modelHost("toString")).toThrow('no ready-made host named "toString"');
  });

  it("refuses a disk image that is missing, and a disk for a host without one", () => {
    expect(() => modelHost("power9", { disk: "/nonexistent/disk" })).toThrow("cannot open the disk image");
    expect(() => modelHost(base, { disk: memoryDisk(512) })).toThrow(expect.objectContaining({ code: "MODEL_OPTION" }));
  });

  it("limits locked memory of every process", () => {
    using host = modelHost("power9", { memlock: 65536 });
    expect(host.spawn().getrlimit("memlock")).toEqual({ soft: 65536, hard: 65536 });
    expect(host.spawn().open("/dev/kvm", O_RDWR)).toBeGreaterThanOrEqual(0);
  });
});

describe("model-host: text form", () => {
  it("reads name and options", () => {
    expect(parseModelSpec("power9")).toEqual({ name: "power9" });
    expect(parseModelSpec("model:powernv9,pagesize=4K")).toEqual({ name: "powernv9", pageSize: 4096 });
    expect(parseModelSpec("power9,disk=a,,b.img,memlock=2G,profile=4.12")).toEqual({
      name: "power9",
      disk: "a,b.img",
      memlock: 2 ** 31,
      profile: "4.12",
    });
    expect(parseModelSpec("x,memlock=unlimited").memlock).toBe(Number.POSITIVE_INFINITY);
  });

  it.each(["p,disk=", "p,memlock=much", "p,profile=2.4", "p,color=red", "p,"])("refuses %s", (text) => {
    expect(() => parseModelSpec(text)).toThrow(expect.objectContaining({ code: "MODEL_OPTION" }));
  });

  it("answers any text with a spec or a ModelHostError", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(typeof parseModelSpec(text).name).toBe("string");
        } catch (error) {
          expect(error).toBeInstanceOf(ModelHostError);
        }
      }),
    );
  });
});
