// Machine pc on the command line: QEMU's spellings of it, its CPUs and its devices; what is pseries' is refused.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { passedFunctions } from "../src/options/describe-request.ts";
import { expectRefusal, request } from "./requests.ts";

const MIB = 2 ** 20;
const pc = (...argv: string[]) => request("-M", "pc", ...argv);
const OBJECT = ["-object", "iommufd,id=i0"];

describe("cli options: machine pc", () => {
  it("has KVM and one CPU unless something else is said", () => {
    const machine = { machine: "pc", memoryBytes: 512 * MIB, cpus: 1, accel: "kvm" };
    expect(pc().machine).toEqual(machine);
    expect(request("-M", "q35", "-m", "2G").machine).toEqual({ ...machine, memoryBytes: 2048 * MIB });
  });

  it.each([
    [["-M", "pc", "-enable-kvm"]],
    [["-machine", "q35", "-accel", "kvm"]],
    [["-M", "pc,accel=kvm", "-enable-kvm"]],
    [["-M", "type=q35,accel=kvm,usb=off,vmport=no,smm=off,hpet=false,graphics=off,kernel-irqchip=on"]],
    [["-M", "pc", "-cpu", "host"]],
    [["-M", "pc", "-cpu", "max", "-display", "none", "-nodefaults", "-vga", "none"]],
  ])("takes %j for the same machine", (argv) => {
    expect(request(...argv)).toEqual(pc());
  });

  it.each([
    ["2", 2],
    ["cpus=3", 3],
    ["4,sockets=1,dies=1,cores=4,threads=1,maxcpus=4", 4],
    ["cores=8", 8],
    ["maxcpus=5", 5],
    ["sockets=1", 1],
  ])("-smp %s is %i CPUs", (text, cpus) => {
    expect(pc("-smp", text).machine).toMatchObject({ cpus });
  });

  it("-smp agrees with itself or is refused, whatever is left out", () => {
    const count = fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined });
    fc.assert(
      fc.property(count, count, count, (cpus, cores, maxcpus) => {
        const given = Object.entries({ cpus, cores, maxcpus }).filter(([, value]) => value !== undefined);
        fc.pre(given.length > 0);
        const text = given.map(([key, value]) => `${key}=${value}`).join(",");
        const values = new Set(given.map(([, value]) => value));
        if (values.size === 1) expect(pc("-smp", text).machine).toMatchObject({ cpus: given[0]?.[1] });
        else expectRefusal(["-M", "pc", "-smp", text], /^-smp (cores|maxcpus)=/, /write -smp/);
      }),
    );
  });

  it("takes functions through an iommufd, with and without descriptors", () => {
    const { devices } = pc(
      ...["-object", "iommufd,id=a", "-object", "qom-type=iommufd,fd=7,id=b"],
      ...["-device", "vfio-pci,host=01:00.0,iommufd=a,id=n", "-device", "vfio,host=02:00.0,iommufd=b,fd=8,addr=3"],
      ...["-device", "vfio,sysfsdev=/sys/bus/pci/devices/0000:03:00.0,iommufd=a,bus=pcie.0"],
    );
    expect(devices).toEqual([
      { driver: "vfio-pci", host: "0000:01:00.0", iommufd: { id: "a" }, id: "n" },
      { driver: "vfio-pci", host: "0000:02:00.0", iommufd: { id: "b", fd: 7 }, deviceFd: 8, slot: 3 },
      { driver: "vfio-pci", host: "0000:03:00.0", iommufd: { id: "a" } },
    ]);
  });

  it("takes functions through groups and containers, and device models, as pseries does", () => {
    const { devices } = pc(
      ...["-device", "vfio,host=01:00.0,vfiofd=7,uiommufd=8", "-device", "vfio,host=02:00.0,container=b"],
      ...["-drive", "file=d.img,if=none,id=d0", "-device", "nvme,drive=d0", "-device", "edu,bus=pci.0"],
    );
    expect(devices).toEqual([
      { driver: "vfio-pci", host: "0000:01:00.0", groupFd: 7, containerFd: 8 },
      { driver: "vfio-pci", host: "0000:02:00.0", container: "b" },
      { driver: "nvme", file: "d.img", readonly: false },
      { driver: "edu" },
    ]);
  });

  it("is asked about with iommufds as containers", () => {
    const { devices } = pc(...OBJECT, "-device", "vfio,host=01:00.0,iommufd=i0,fd=9");
    expect(passedFunctions({ devices } as unknown as Parameters<typeof passedFunctions>[0])).toEqual([
      { driver: "vfio-pci", host: "0000:01:00.0", container: "iommufd i0" },
    ]);
  });

  const refusals: [string[], RegExp, RegExp][] = [
    [["-accel", "tcg"], /runs in KVM only: there is no x86 CPU in software/, /machine pseries has a CPU in software/],
    [["-M", "q35,accel=tcg"], /runs in KVM only/, /leave -accel tcg out/],
    [["-accel", "tcg", "-enable-kvm"], /two different accelerators/, /keep one/],
    [["-M", "pc-q35-7.2"], /unknown machine "pc-q35-7.2"/, /no versions here: write -M pc/],
    [["-M", "pc-i440fx-2.1"], /unknown machine/, /write -M pc/],
    [["-M", "q36"], /unknown machine "q36"/, /did you mean -M q35/],
    [["-M", "pc,ddw=on"], /ddw is an option of machine pseries/, /no DMA windows/],
    [["-M", "pc,clock=instructions"], /clock is an option of machine pseries/, /the host's/],
    [["-M", "pc,vfio-accel=off"], /vfio-accel is an option of machine pseries/, /no TCE hypercalls/],
    [["-M", "pc,usb=on"], /usb=on is not possible/, /no USB controller/],
    [["-M", "pc,kernel-irqchip=off"], /kernel-irqchip=off is not possible/, /KVM's/],
    [["-M", "pc,acel=kvm"], /unknown property "acel"/, /did you mean accel/],
    [["-global", "spapr-pci-host-bridge.ddw=off"], /machine pc has no such property/, /leave -global out/],
    [["-cpu", "power9"], /machine pc cannot have the CPU "power9"/, /-cpu host/],
    [["-cpu", "qemu64"], /cannot have the CPU "qemu64"/, /-cpu host/],
    [["-cpu", "host,+x2apic"], /features cannot be chosen/, /write -cpu host/],
    [["-smp", "0"], /cpus=0: "0" is not a count/, /-smp 2/],
    [["-smp", "two"], /cpus=two: "two" is not a count/, /-smp 2/],
    [["-smp", "4,sockets=2"], /sockets=2: machine pc has one of these/, /N cores with one thread/],
    [["-smp", "4,cores=2,threads=2"], /threads=2/, /one thread/],
    [["-smp", "4,cores=2"], /one socket of 2 cores is not 4 CPUs/, /-smp N/],
    [["-smp", "2,maxcpus=4"], /CPUs cannot be added to 2 later/, /-smp 4/],
    [["-smp", "2,corse=2"], /unknown property "corse"/, /did you mean cores/],
    [["-device", "spapr-vscsi"], /machine pc has no SCSI adapter/, /-device nvme/],
    [["-drive", "file=x,id=d0", "-device", "scsi-hd,drive=d0"], /machine pc has no SCSI adapter/, /-device nvme/],
    [["-drive", "file=x,if=scsi"], /if=scsi: machine pc has no SCSI adapter/, /if=none/],
    [["-device", "spapr-vsci"], /unknown device/, /known: vfio, vfio-pci, nvme, edu$/],
    [["-object", "iommufd"], /id is missing/, /id=iommufd0/],
    [["-object", "iommufd,id=i0,fd=1"], /fd=1 is not a passed descriptor/, /above 2/],
    [["-object", "iommufdd,id=i0"], /unknown object "iommufdd"/, /-object iommufd/],
    [["-object", "memory-backend-ram,id=m,size=1G"], /unknown object/, /known: iommufd/],
    [["-object", "iommufd,id=i0,fb=3"], /unknown property "fb"/, /did you mean fd/],
    [OBJECT, /no device uses it/, /iommufd=i0/],
    [[...OBJECT, ...OBJECT], /two objects have the id "i0"/, /one object/],
    [["-device", "vfio,host=01:00.0,iommufd=i0"], /iommufd=i0 does not exist/, /add -object iommufd,id=i0/],
    [[...OBJECT, "-device", "vfio,host=01:00.0,iommufd=i1"], /iommufd=i1 does not exist/, /did you mean iommufd=i0/],
    [["-device", "vfio,host=01:00.0,fd=9"], /fd=9 needs iommufd=/, /vfiofd=/],
    [[...OBJECT, "-device", "vfio,host=01:00.0,iommufd=i0,vfiofd=9"], /iommufd and vfiofd are both given/, /neither/],
    [[...OBJECT, "-device", "vfio,host=01:00.0,iommufd=i0,uiommufd=9"], /iommufd and uiommufd/, /neither/],
    [[...OBJECT, "-device", "vfio,host=01:00.0,iommufd=i0,container=a"], /iommufd and container/, /neither/],
    [[...OBJECT, "-device", "vfio,fd=9,iommufd=i0"], /host is missing/, /write host=/],
    [["-device", "vfio,sysfsdev=/sys/bus/mdev/devices/c0b26072"], /is not a PCI function/, /mediated/],
    [["-kernel", ""], /no kernel is given/, /a bzImage, such as \/boot\/vmlinuz/],
  ];
  for (const [argv, message, hint] of refusals) {
    it(`refuses ${argv.join(" ")} with one clear line`, () => {
      const machine = argv[0] === "-M" ? [] : ["-M", "pc"];
      expectRefusal([...machine, ...argv], message, hint);
    });
  }
});
