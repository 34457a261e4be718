// From option texts to a typed request: QEMU's ways of writing things, and one clear refusal for everything else.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Properties, splitCommas } from "../src/options/properties.ts";
import { formatSize, parseSize } from "../src/options/size.ts";
import { expectRefusal, request } from "./requests.ts";

const MIB = 2 ** 20;

describe("cli options: sizes", () => {
  it("take QEMU's units and a default one", () => {
    expect(parseSize("512", "M", "-m")).toBe(512 * MIB);
    expect(parseSize("1.5G", "M", "-m")).toBe(1536 * MIB);
    expect(parseSize("64KiB", "M", "-m")).toBe(65536);
    expect(parseSize("0x100000", "M", "-m")).toBe(MIB);
  });

  it("are whole numbers of bytes above zero, or refused", () => {
    for (const text of ["", "x", "-5", "0", "12Q", "1.0000001K", "1e3", "99999999T"]) {
      expect(() => parseSize(text, "M", "-m"), text).toThrow(/^-m: /);
    }
  });

  it("survive being written for people", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1023 }), fc.constantFrom("K", "M", "G"), (number, unit) => {
        const bytes = parseSize(`${number}${unit}`, "B", "-m");
        expect(formatSize(bytes)).toBe(`${number} ${unit}iB`);
      }),
    );
  });
});

describe("cli options: property lists", () => {
  it("split at single commas and keep doubled ones, for any texts", () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 5 }), (items) => {
        // A separator before a comma or before nothing reads as a doubled comma: QEMU's notation has the same gap.
        fc.pre(items.every((item, i) => i === 0 || !(item === "" || item.startsWith(","))));
        expect(splitCommas(items.map((item) => item.replaceAll(",", ",,")).join(","))).toEqual(items);
      }),
    );
  });

  it("name what is not known, and the closest that is", () => {
    const properties = new Properties("-device x", "x,hots=1", "driver");
    properties.text("driver");
    properties.text("host");
    expect(() => properties.finish()).toThrow('-device x: unknown property "hots"');
  });
});

describe("cli options: run", () => {
  it("make a typed request of QEMU's command line", () => {
    expect(
      request(
        ...[
          "-M",
          "pseries,clock=instructions",
          "-m",
          "1G",
          "-initrd",
          "i",
          "-append",
          "a b",
          "-smp",
          "1",
          "-cpu",
          "POWER9",
        ],
        ...[
          "-device",
          "vfio,host=01:00.0,id=d,addr=1f",
          "-host",
          "model:power9,disk=x.img",
          "-nographic",
          "-no-reboot",
        ],
        ...[
          "-global",
          "spapr-pci-host-bridge.ddw=off",
          "-display",
          "none",
          "-serial",
          "mon:stdio",
          "-summary",
          "s.json",
        ],
      ),
    ).toEqual({
      machine: { machine: "pseries", memoryBytes: 1024 * MIB, clock: "instructions", ddw: false },
      host: { kind: "model", spec: { name: "power9", disk: "x.img" } },
      kernel: "vmlinux",
      initrd: "i",
      append: "a b",
      devices: [{ driver: "vfio-pci", host: "0000:01:00.0", id: "d", slot: 31 }],
      console: "stdio",
      reboot: false,
      summary: "s.json",
    });
  });

  it("have QEMU's defaults", () => {
    expect(request()).toEqual({
      machine: { machine: "pseries", memoryBytes: 512 * MIB },
      host: { kind: "real" },
      kernel: "vmlinux",
      append: "",
      devices: [],
      console: "stdio",
      reboot: true,
    });
  });

  it("let the last one count when an option is given twice", () => {
    expect(request("-m", "1G", "-m", "size=256M").machine.memoryBytes).toBe(256 * MIB);
  });

  it("take descriptors that were passed in, and containers by name", () => {
    const { devices } = request(
      "-device",
      "vfio,host=01:00.0,vfiofd=7,uiommufd=8",
      "-device",
      "vfio,host=02:00.0,container=b",
    );
    expect(devices).toEqual([
      { driver: "vfio-pci", host: "0000:01:00.0", groupFd: 7, containerFd: 8 },
      { driver: "vfio-pci", host: "0000:02:00.0", container: "b" },
    ]);
  });

  it("say who executes the guest, in each of QEMU's spellings", () => {
    for (const words of [["-enable-kvm"], ["-accel", "kvm"], ["-M", "pseries,accel=kvm"], ["-accel", "accel=kvm"]]) {
      expect(request(...words, "-cpu", "host").machine.accel).toBe("kvm");
    }
    expect(request("-accel", "tcg").machine.accel).toBe("soft");
    expect(request().machine).not.toHaveProperty("accel");
    expect(request("-M", "pseries,vfio-accel=off", "-enable-kvm").machine).toMatchObject({ vfioAccel: false });
    expect(request("-M", "pseries,vfio-accel=on", "-enable-kvm").machine).toMatchObject({ vfioAccel: true });
  });

  it("take the size of the default DMA window in QEMU's spelling and in the usual one", () => {
    for (const name of ["dma_win_size", "dma-win-size"]) {
      const global = (value: string) => request("-global", `spapr-pci-host-bridge.${name}=${value}`).machine;
      expect(global("0x20000000")).toMatchObject({ dmaWindowBytes: 512 * MIB });
      expect(global("256M")).toMatchObject({ dmaWindowBytes: 256 * MIB });
      expect(() => global("much")).toThrow(`-global spapr-pci-host-bridge.${name}`);
    }
  });

  it("take the folder of a function in sysfs for its address", () => {
    for (const path of ["/sys/bus/pci/devices/0000:01:00.0", "/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/"]) {
      expect(request("-device", `vfio-pci,sysfsdev=${path}`).devices).toEqual([
        { driver: "vfio-pci", host: "0000:01:00.0" },
      ]);
    }
  });

  it("join a drive with the device that uses it", () => {
    const { devices } = request("-drive", "file=d.img,if=none,id=d0,readonly=on", "-device", "nvme,drive=d0,serial=S1");
    expect(devices).toEqual([{ driver: "nvme", file: "d.img", readonly: true, serial: "S1" }]);
  });

  it("put disks on the SCSI adapter that they name, or on the first", () => {
    const { devices } = request(
      ...["-drive", "file=a.img,if=none,id=d0", "-drive", "file=b.img,if=none,id=d1,readonly=on"],
      ...[
        "-device",
        "scsi-hd,drive=d1,bus=T.0,scsi-id=5,lun=3,channel=2,serial=S1,id=h1",
        "-device",
        "scsi-hd,drive=d0",
      ],
      ...["-device", "spapr-vscsi,id=S,reg=0x71000003", "-device", "spapr-vscsi,id=T,reg=8192", "-device", "edu"],
    );
    const onT = { file: "b.img", readonly: true, id: "h1", serial: "S1", channel: 2, target: 5, lun: 3 };
    expect(devices).toEqual([
      { driver: "edu" },
      { driver: "spapr-vscsi", id: "S", reg: 0x7100_0003, disks: [{ file: "a.img", readonly: false }] },
      { driver: "spapr-vscsi", id: "T", reg: 0x2000, disks: [onT] },
    ]);
  });

  it("make a SCSI adapter for drives that ask for one, before any other", () => {
    const { devices } = request(
      ...["-drive", "file=a.img,if=scsi", "-drive", "file=b.img,if=scsi,id=d1", "-device", "spapr-vscsi,id=S"],
      ...["-drive", "file=c.img,if=none,id=d2", "-device", "scsi-hd,drive=d2"],
    );
    const disk = (file: string) => ({ file, readonly: false });
    expect(devices).toEqual([
      { driver: "spapr-vscsi", disks: [disk("a.img"), { ...disk("b.img"), id: "d1" }, disk("c.img")] },
      { driver: "spapr-vscsi", id: "S", disks: [] },
    ]);
  });

  const refusals: [string[], RegExp, RegExp][] = [
    [["-M", "pseris"], /unknown machine "pseris"/, /-M pseries/],
    [["-M", "virt"], /unknown machine "virt"/, /the machines are: pseries, pc, q35/],
    [["-M", "pseries-7.2"], /unknown machine "pseries-7.2"/, /no versions here: write -M pseries/],
    [["-M", "pseries,dwd=on"], /-machine: unknown property "dwd"/, /did you mean ddw/],
    [["-m", "12Q"], /-m: size: "12Q" is not a size/, /512M/],
    [["-m", "512,slots=3"], /-m: unknown property "slots"/, /known: size/],
    [["-smp", "2"], /one CPU/, /-smp 1/],
    [["-smp", "cpus=0"], /not a count of CPUs/, /-smp 1/],
    [["-cpu", "host"], /unknown CPU model "host"/, /power9/],
    [["-enable-kvm", "-accel", "tcg"], /two different accelerators/, /keep one/],
    [["-enable-kvm", "-M", "pseries,accel=tcg"], /two different accelerators/, /keep one/],
    [["-accel", "kvm,x=y"], /-accel: unknown property "x"/, /known: accel/],
    [["-M", "pseries,vfio-accel=maybe"], /vfio-accel=maybe is not possible/, /on, off/],
    [["-accel", "hax"], /unknown accelerator "hax"/, /tcg/],
    [["-device", "vfoi,host=01:00.0"], /unknown device "vfoi"/, /-device vfio/],
    [["-device", "toString"], /unknown device "toString"/, /known/],
    [["-device", "vfio,hots=0001:01:00.0"], /unknown property "hots"/, /did you mean host=/],
    [["-device", "vfio"], /host is missing/, /host=0001:01:00.0/],
    [["-device", "vfio,host=1:2:3"], /host=1:2:3 is not a PCI address/, /domain/],
    [["-device", "vfio,host=01:00.0,rombar=0"], /unknown property "rombar"/, /known|mean/],
    [["-device", "vfio,host=01:00.0,vfiofd=x"], /vfiofd=x is not a passed descriptor/, /above 2/],
    [["-device", "vfio,host=01:00.0,uiommufd=5,container=a"], /both given/, /one container/],
    [["-device", "vfio,host=01:00.0,addr=20"], /addr=20/, /01 to 1f/],
    [["-device", "edu,id=a", "-device", "edu,id=a"], /two devices have the id "a"/, /one device/],
    [["-device", "nvme,drive=d0"], /drive=d0 does not exist/, /-drive file=/],
    [["-drive", "file=x,id=d0"], /no device uses it/, /-device nvme,drive=d0/],
    [["-drive", "id=d0"], /file is missing/, /file=/],
    [["-device", "spapr-vscsi,reg=0x80000000"], /reg=0x80000000 is not a unit address/, /0x71000003/],
    [["-device", "spapr-vscsi,reg=x"], /reg=x is not a unit address/, /0x71000003/],
    [["-device", "spapr-vscsi,rge=1"], /unknown property "rge"/, /did you mean reg/],
    [["-device", "spapr-vsci"], /unknown device "spapr-vsci"/, /-device spapr-vscsi/],
    [["-drive", "file=x,id=d0", "-device", "scsi-hd,drive=d0"], /there is no SCSI adapter/, /-device spapr-vscsi/],
    [
      ["-device", "spapr-vscsi,id=scsi0", "-drive", "file=x,id=d0", "-device", "scsi-hd,drive=d0,bus=scs0.0"],
      /there is no bus "scs0.0"/,
      /did you mean bus=scsi0.0/,
    ],
    [["-device", "spapr-vscsi", "-device", "scsi-hd"], /drive is missing/, /drive=disk0/],
    [["-drive", "file=x,id=d0", "-device", "scsi-hd,drive=d0,lun=32"], /lun=32 is not possible/, /0 to 31/],
    [["-drive", "file=x,id=d0", "-device", "scsi-hd,drive=d0,scsi-id=-1"], /scsi-id=-1 is not possible/, /0 to 63/],
    [["-drive", "file=x,id=d0", "-device", `scsi-hd,drive=d0,serial=${"x".repeat(37)}`], /serial=/, /1 to 36/],
    [["-drive", "file=x,if=scsi,id=d0", "-device", "nvme,drive=d0"], /on a SCSI adapter already/, /if=none/],
    [["-drive", "file=x,if=ide"], /if=ide is not possible/, /none, scsi/],
    [["-drive", "file=x,id=d0", "-drive", "file=y,id=d0"], /two drives have the id "d0"/, /one drive/],
    [["-device", "spapr-vscsi,id=a", "-device", "edu,id=a"], /two devices have the id "a"/, /one device/],
    [["-object", "iommufd,id=i0"], /machine pseries has no iommufd/, /groups and a container/],
    [["-device", "vfio,host=01:00.0,iommufd=i0"], /machine pseries has no iommufd/, /groups and a container/],
    [["-device", "vfio,host=01:00.0,fd=5"], /fd=5 needs iommufd=/, /vfiofd=/],
    [["-device", "vfio,sysfsdev=/sys/x"], /sysfsdev=\/sys\/x is not a PCI function/, /\/sys\/bus\/pci\/devices/],
    [["-device", "vfio,host=01:00.0,sysfsdev=/sys/01:00.0"], /both given/, /which function/],
    [["-cpu", "max"], /unknown CPU model "max"/, /power9/],
    [["-global", "nonsense"], /not DRIVER.PROPERTY=VALUE/, /ddw/],
    [["-global", "virtio.x=1"], /unknown driver "virtio"/, /spapr-pci-host-bridge/],
    [["-global", "spapr-pci-host-bridge.dww=1"], /unknown property "dww"/, /did you mean ddw/],
    [["-serial", "tcp::1"], /-serial tcp::1/, /stdio/],
    [["-display", "gtk"], /-display gtk/, /-display none/],
    [["-host", "modl:power9"], /unknown host/, /-host model:power9/],
    [["-host", "model:powr9"], /unknown modelled host "powr9"/, /model:power9/],
    [["-host", "model:power9,dik=x"], /there is no option "dik"/, /disk=FILE/],
    [["-kernel", ""], /no kernel is given/, /-kernel FILE/],
  ];
  for (const [argv, message, hint] of refusals) {
    it(`refuse ${argv.join(" ")} with one clear line`, () => expectRefusal(argv, message, hint));
  }
});
