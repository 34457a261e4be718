// `minivmm bind` and `unbind` as a user meets them: what is written, what is refused and why, what is undone.

import { PassThrough } from "node:stream";
import { EACCES, EBUSY, type Host } from "@minivmm/host";
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { bindOn } from "../src/cmds/bind.ts";
import type { TerminalInput } from "../src/console/terminal.ts";
import { renderError } from "../src/errors.ts";
import type { BindRequest } from "../src/options/bind-request.ts";
import { Capture, cli } from "./helpers.ts";

const DESKTOP = ["--host", "model:desktop"];
/** On the host's nvme. */
const HOST_DISK = "0000:01:00.0";
/** On vfio-pci. */
const DISK = "0000:02:00.0";
const BRIDGE = "0000:03:00.0";
/** One group: two on vfio-pci, the third without a driver. */
const SHARED = ["0000:04:01.0", "0000:04:02.0", "0000:04:03.0"] as const;

type Refuse = (path: string, text: string) => number | undefined;

/** The command on a host that was prepared; `refuse` may answer writes in the kernel's place. */
function on(model: ModelledHost, request: Partial<BindRequest>, refuse: Refuse = () => undefined) {
  const [stdout, stderr] = [new Capture(), new Capture()];
  const io = { stdin: new PassThrough() as TerminalInput, stdout, stderr, env: {} };
  const process = model.spawn();
  const writes: string[] = [];
  const host = new Proxy<Host>(process, {
    get(target, key) {
      if (key === "writeFile") {
        return (path: string, text: string) => {
          writes.push(`${text.trim()} > ${path}`);
          return refuse(path, text) ?? target.writeFile(path, text);
        };
      }
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const full: BindRequest = {
    action: "bind",
    addresses: [HOST_DISK],
    driver: "vfio-pci",
    group: false,
    dryRun: false,
    force: false,
    host: { kind: "real" },
    json: false,
    ...request,
  };
  let status: number | string;
  try {
    status = bindOn(host, full, io);
  } catch (error) {
    status = renderError(error);
  }
  process.exit();
  return { status, stdout: stdout.text, writes };
}

const driver = (model: ModelledHost, bdf: string) => model.topology.get(bdf).driver;
const override = (model: ModelledHost, bdf: string) => model.topology.get(bdf).driverOverride;

/** A disk with a partition below a function, and tables of what is done with it. */
function withDisk(model: ModelledHost, bdf: string, tables: Readonly<Record<string, string>>): void {
  const { sysfs } = model.kernel;
  const at = `/sys/devices/pci0000:00/0000:00:01.0/${bdf}/nvme/nvme0/nvme0n1`;
  sysfs.file(`${at}/dev`, { read: () => "259:0\n" });
  sysfs.file(`${at}/nvme0n1p2/dev`, { read: () => "259:2\n" });
  sysfs.file(`${at}/nvme0n1p2/partition`, { read: () => "2\n" });
  sysfs.link("/sys/class/block/nvme0n1", at);
  sysfs.link("/sys/class/block/nvme0n1p2", `${at}/nvme0n1p2`);
  for (const [path, text] of Object.entries(tables)) sysfs.file(path, { read: () => text });
}

const MOUNTINFO = "/proc/self/mountinfo";
const mounted = (device: string, point: string, source: string): string =>
  `22 1 0:21 / /proc rw shared:5 - proc proc rw\n30 1 ${device} / ${point} rw,relatime shared:1 master:2 - ext4 ${source} rw\n`;

/** A network interface below the host's disk controller, with these attributes. */
function withNetwork(model: ModelledHost, attributes: Readonly<Record<string, string>>, route = ""): void {
  const { sysfs } = model.kernel;
  const at = `/sys/devices/pci0000:00/${HOST_DISK}/net/enp1s0`;
  sysfs.dir(at);
  for (const [name, text] of Object.entries(attributes)) sysfs.file(`${at}/${name}`, { read: () => `${text}\n` });
  sysfs.link("/sys/class/net/enp1s0", at);
  const head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
  sysfs.file("/proc/net/route", { read: () => head + route });
}

describe("cli bind", () => {
  it("takes a function from the host, says what it writes and what came of it", async () => {
    const { status, stdout, stderr } = await cli(["bind", "01:00.0", ...DESKTOP]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toBe(
      [
        `${HOST_DISK} (NVMe controller, nvme): writing`,
        `  echo vfio-pci > /sys/bus/pci/devices/${HOST_DISK}/driver_override`,
        `  echo ${HOST_DISK} > /sys/bus/pci/drivers/nvme/unbind`,
        `  echo ${HOST_DISK} > /sys/bus/pci/drivers_probe`,
        `${HOST_DISK}: bound to vfio-pci`,
        "group 4 can be given to a guest",
        "",
      ].join("\n"),
    );
  });

  it("writes exactly what it says, and the kernel has it so", () => {
    using model = modelHost("desktop");
    const { status, stdout, writes } = on(model, {});
    expect(status).toBe(0);
    expect(stdout.match(/(?<=echo ).*/g)).toEqual(writes);
    expect([driver(model, HOST_DISK), override(model, HOST_DISK)]).toEqual(["vfio-pci", "vfio-pci"]);
  });

  it("and unbind are each other's inverse", () => {
    using model = modelHost("desktop");
    expect(on(model, {}).status).toBe(0);
    expect(on(model, { action: "unbind" }).stdout).toContain(`${HOST_DISK}: given back, nvme has it\n`);
    expect([driver(model, HOST_DISK), override(model, HOST_DISK)]).toEqual(["nvme", null]);
  });

  it("writes nothing for what is so already, nor in a dry run", () => {
    using model = modelHost("desktop");
    const again = on(model, { addresses: [DISK] });
    expect(again).toMatchObject({ status: 0, writes: [] });
    expect(again.stdout).toContain(`${DISK}: left alone, vfio-pci has it\n`);
    const dry = on(model, { dryRun: true });
    expect(dry).toMatchObject({ status: 0, writes: [] });
    expect(dry.stdout).toMatch(/would write\n[\s\S]*would be bound to vfio-pci\ndry run: nothing was written\n$/);
    expect(driver(model, HOST_DISK)).toBe("nvme");
  });

  it("--group takes the whole group but its bridges", () => {
    using model = modelHost("desktop");
    const group = model.topology.get(BRIDGE).group?.id;
    expect(group).toBe(model.topology.get(SHARED[0]).group?.id);
    const { status, stdout } = on(model, { addresses: [SHARED[0]], group: true });
    expect(status).toBe(0);
    expect(SHARED.map((bdf) => driver(model, bdf))).toEqual(["vfio-pci", "vfio-pci", "vfio-pci"]);
    expect(driver(model, BRIDGE)).toBeNull();
    expect(stdout).not.toContain(BRIDGE);
  });

  it("--driver chooses another, and unbind --driver takes it from that one", () => {
    using model = modelHost("desktop");
    expect(on(model, { driver: "pci-stub" }).status).toBe(0);
    expect(driver(model, HOST_DISK)).toBe("pci-stub");
    expect(on(model, { action: "unbind" }).stdout).toContain("left alone, pci-stub has it");
    expect(override(model, HOST_DISK)).toBe("pci-stub");
    expect(on(model, { action: "unbind", driver: "pci-stub" }).status).toBe(0);
    expect(driver(model, HOST_DISK)).toBe("nvme");
    model.topology.get(HOST_DISK).driverOverride = "vfio-pci";
    expect(on(model, { action: "unbind" }).stdout).toContain(`${HOST_DISK}: driver_override cleared, nvme has it\n`);
    expect([driver(model, HOST_DISK), override(model, HOST_DISK)]).toEqual(["nvme", null]);
  });

  it("tells who still holds the group", () => {
    using model = modelHost("desktop");
    model.faults.takeGroup(SHARED[1], "e1000e");
    const { status, stdout } = on(model, { addresses: [SHARED[2]] });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^group 6 is still held by 0000:04:02\.0 e1000e: minivmm bind --group takes all of it$/m);
  });

  it("knows how a group goes that only the hotplug driver of a bridge holds", () => {
    using model = modelHost("desktop");
    model.faults.takeGroup(BRIDGE, "shpchp");
    const { status, stdout } = on(model, { addresses: [SHARED[2]], group: true });
    expect(status).toBe(0);
    const [, text, path] =
      /^group 6 is still held by 0000:03:00\.0 shpchp: it goes with echo (\S+) > (\S+)$/m.exec(stdout) ?? [];
    expect(model.spawn().writeFile(path as string, `${text}\n`)).toBeGreaterThan(0);
    expect(on(model, { addresses: [SHARED[2]] }).stdout).toContain("group 6 can be given to a guest\n");
  });
});

describe("cli bind: what the host uses", () => {
  it.each([
    [
      "a mounted partition, by its number",
      mounted("259:2", "/srv/my\\040data", "/dev/root"),
      "nvme0n1p2 is mounted at /srv/my data",
    ],
    ["a mounted disk, by its name", mounted("0:45", "/", "/dev/nvme0n1"), "nvme0n1 is mounted at /"],
  ])("refuses %s, and nothing is written", (_what, mountinfo, message) => {
    using model = modelHost("desktop");
    withDisk(model, HOST_DISK, { [MOUNTINFO]: mountinfo });
    const { status, stdout, writes } = on(model, {});
    const name = message.split(" ", 1)[0];
    expect(status).toBe(
      `minivmm: nothing was bound: ${HOST_DISK} is in use: ${message}\nhint: unmount ${name} first, or take it all the same with --force\n`,
    );
    expect(stdout).toContain(`${HOST_DISK}: refused: is in use: ${message}\n`);
    expect(writes).toEqual([]);
    expect(driver(model, HOST_DISK)).toBe("nvme");
  });

  it("sees swap, and a volume that is made of the disk", () => {
    using model = modelHost("desktop");
    withDisk(model, HOST_DISK, {
      [MOUNTINFO]: mounted("253:0", "/home", "/dev/mapper/vg-home"),
      "/proc/swaps": "Filename Type Size Used Priority\n/dev/nvme0n1p2 partition 8 0 -2\n",
      "/sys/class/block/dm-0/dev": "253:0\n",
    });
    model.kernel.sysfs.dir("/sys/class/block/nvme0n1/holders/dm-0");
    const parsed = JSON.parse(on(model, { json: true }).stdout);
    expect(parsed.functions[0].inUse).toEqual([
      { kind: "mount", name: "dm-0", message: "dm-0 is mounted at /home (on nvme0n1)" },
      { kind: "swap", name: "nvme0n1p2", message: "nvme0n1p2 is used for swap" },
    ]);
  });

  it("reads /proc/mounts where there is no mountinfo, and without either refuses a disk", () => {
    using model = modelHost("desktop");
    withDisk(model, HOST_DISK, { "/proc/mounts": "/dev/nvme0n1p2 /boot ext4 rw 0 0\n" });
    expect(on(model, {}).status).toContain("nvme0n1p2 is mounted at /boot");
    model.kernel.sysfs.remove("/proc/mounts");
    expect(on(model, {}).status).toMatch(/nvme0n1 may be mounted: .*\nhint: make sure of it first/);
  });

  it("takes a disk that is not mounted, and leaves another function's mounted one out of it", () => {
    using model = modelHost("desktop");
    withDisk(model, "0000:00:1f.2", { [MOUNTINFO]: mounted("259:2", "/", "/dev/nvme0n1p2") });
    expect(on(model, {}).status).toBe(0);
    using idle = modelHost("desktop");
    withDisk(idle, HOST_DISK, { [MOUNTINFO]: mounted("8:1", "/", "/dev/sda1") });
    expect(on(idle, {}).status).toBe(0);
  });

  it.each([
    ["whose link is up", { operstate: "up", flags: "0x1003", carrier: "1" }, "", "is up"],
    ["without a state, but with a carrier", { operstate: "unknown", flags: "0x1003", carrier: "1" }, "", "is up"],
    ["that is on, and says no more", { flags: "0x1003" }, "", "is up"],
    [
      "that has the default route",
      { operstate: "down", flags: "0x1003", carrier: "0" },
      "enp1s0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
      "has the default route",
    ],
  ])("refuses a network card %s", (_what, attributes, route, reason) => {
    using model = modelHost("desktop");
    withNetwork(model, attributes, route);
    const { status, writes } = on(model, {});
    expect(status).toContain(
      `${HOST_DISK} is in use: network interface enp1s0 ${reason}\nhint: ip link set enp1s0 down first`,
    );
    expect(writes).toEqual([]);
  });

  it.each([
    ["is off", { operstate: "down", flags: "0x1002" }],
    ["has no link", { operstate: "down", flags: "0x1003", carrier: "0" }],
  ])("takes a network card that %s", (_what, attributes) => {
    using model = modelHost("desktop");
    withNetwork(model, attributes, "eth9\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
    expect(on(model, {}).status).toBe(0);
  });

  it("--force takes it all the same, and says in spite of what", () => {
    using model = modelHost("desktop");
    withDisk(model, HOST_DISK, { [MOUNTINFO]: mounted("259:2", "/a\x1b[31m", "/dev/nvme0n1p2") });
    const { status, stdout } = on(model, { force: true });
    expect(status).toBe(0);
    expect(stdout).toContain("in spite of this: nvme0n1p2 is mounted at /a\\x1b[31m\n");
    expect(driver(model, HOST_DISK)).toBe("vfio-pci");
  });
});

describe("cli bind: refusals", () => {
  it("refuses a bridge even when forced, and then binds nothing else either", () => {
    using model = modelHost("desktop");
    const { status, stdout, writes } = on(model, { addresses: [HOST_DISK, BRIDGE], force: true });
    expect(status).toContain(`nothing was bound: ${BRIDGE} is a bridge, which stays with the host\nhint: `);
    expect(stdout).toContain(`${HOST_DISK}: not touched\n`);
    expect(writes).toEqual([]);
  });

  it("refuses to take a function from a guest that has its group open", () => {
    using model = modelHost("desktop");
    const id = model.topology.get(DISK).group?.id ?? -1;
    const group = VfioGroup.open(model.spawn({ comm: "qemu" }), id);
    const { status, writes } = on(model, { action: "unbind", addresses: [DISK] });
    expect(status).toMatch(
      new RegExp(
        `cannot leave vfio-pci: IOMMU group ${id} is in use: process \\d+ \\(qemu\\) has /dev/vfio/${id} open\nhint: end it first`,
      ),
    );
    expect(writes).toEqual([]);
    group.close();
    expect(on(model, { action: "unbind", addresses: [DISK] }).status).toBe(0);
  });

  it("without an IOMMU says so; forced, the kernel refuses and everything is put back", () => {
    using model = modelHost("q35", { iommu: "none" });
    expect(on(model, {}).status).toMatch(/in no IOMMU group.*\nhint: `minivmm doctor` says how/);
    const before = [driver(model, HOST_DISK), override(model, HOST_DISK)];
    expect(on(model, { force: true }).status).toMatch(/was not bound to vfio-pci: .*: EINVAL\nhint: without an IOMMU/);
    expect([driver(model, HOST_DISK), override(model, HOST_DISK)]).toEqual(before);
  });

  const cases: [string, string[], number, RegExp][] = [
    ["no function", ["bind"], 2, /^minivmm: bind: no function is given\nhint: write minivmm bind 0000:01:00\.0\n$/],
    ["what is no address", ["unbind", "eth0"], 2, /^minivmm: unbind: eth0 is not a PCI address\nhint: /],
    ["a driver's name with a path", ["bind", "01:00.0", "-driver", "../x"], 2, /is no name of a driver\nhint: /],
    ["an unknown option", ["bind", "01:00.0", "-frce"], 2, /unknown option -frce\nhint: did you mean -force\?/],
    ["a function that is not there", ["bind", "09:00.0", ...DESKTOP], 1, /no PCI device 0000:09:00\.0 .*\nhint: /],
  ];
  it.each(cases)("says one clear thing about %s", async (_what, argv, status, message) => {
    const outcome = await cli(argv);
    expect(outcome.stderr).toMatch(message);
    expect(outcome).toMatchObject({ status, stdout: "" });
  });

  it("refuses to force a function on a driver of other devices, unless forced", () => {
    using model = modelHost("desktop");
    const refusal = on(model, { addresses: [DISK], driver: "pcieport" });
    expect(refusal.status).toContain(`nothing was bound: ${DISK} may be no device for pcieport`);
    expect(refusal.writes).toEqual([]);
    expect(on(model, { addresses: [DISK], driver: "nvme", force: true }).status).toBe(0);
    expect(driver(model, DISK)).toBe("nvme");
  });

  it("names the module of a driver that the host does not have", async () => {
    const { status, stderr } = await cli(["bind", "01:00.0", "--driver", "uio_pci_generic", ...DESKTOP]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr:
        "minivmm: nothing was bound: the host has no PCI driver uio_pci_generic\nhint: load its module: modprobe uio_pci_generic\n",
    });
  });
});

describe("cli bind: a failure on the way", () => {
  it.each([
    ["the override", /driver_override$/, EACCES, "only root may change drivers"],
    ["the unbinding", /drivers\/nvme\/unbind$/, EBUSY, "is in use"],
    ["the probe", /drivers_probe$/, EBUSY, "is in use"],
  ])("of %s of the second function undoes the first", (_step, path, errno, hint) => {
    using model = modelHost("desktop");
    on(model, { action: "unbind", addresses: [DISK] });
    const state = () => [HOST_DISK, DISK].map((bdf) => [driver(model, bdf), override(model, bdf)]);
    const before = state();
    expect(before).toEqual([
      ["nvme", null],
      ["nvme", null],
    ]);
    let hits = 0;
    const refuse: Refuse = (at) => (path.test(at) && ++hits === 2 ? -errno : undefined);
    const { status, stdout } = on(model, { addresses: [HOST_DISK, DISK, ...SHARED] }, refuse);
    expect(status).toMatch(new RegExp(`^minivmm: ${DISK} was not bound to vfio-pci: .*\\nhint: .*${hint}`));
    expect(state()).toEqual(before);
    expect(stdout).toContain(`${HOST_DISK}: undone, nvme has it\n${DISK}: failed, nvme has it\n`);
    expect(stdout).toContain(`${SHARED[2]}: not touched\n`);
  });

  it("asks the driver why a probe that reports nothing bound nothing", () => {
    using model = modelHost("desktop");
    const refuse: Refuse = (at) =>
      at.endsWith("drivers_probe") ? 0 : at.endsWith("vfio-pci/bind") ? -EBUSY : undefined;
    const { status } = on(model, {}, refuse);
    expect(status).toMatch(/to \/sys\/bus\/pci\/drivers\/vfio-pci\/bind: EBUSY\nhint: IOMMU group 4 is in use/);
    expect([driver(model, HOST_DISK), override(model, HOST_DISK)]).toEqual(["nvme", null]);
  });

  it("says what could not be undone", () => {
    using model = modelHost("desktop");
    const refuse: Refuse = (at) => (/drivers_probe$|\/bind$/.test(at) ? -EBUSY : undefined);
    const { status, stdout } = on(model, { json: true }, refuse);
    expect(status).toMatch(/^minivmm: /);
    const parsed = JSON.parse(stdout);
    expect(parsed.notUndone).toEqual([`${HOST_DISK}: nvme has it no longer: EBUSY`]);
    expect(parsed.functions[0]).toMatchObject({ status: "failed", driver: null });
    expect(parsed.error).toMatchObject({ code: "BIND_FAILED", errno: EBUSY });
  });

  it("of giving back leaves the guest's driver in place", () => {
    using model = modelHost("desktop");
    const before = [driver(model, DISK), override(model, DISK)];
    const refuse: Refuse = (at) => (at.endsWith("drivers_probe") ? -EBUSY : undefined);
    const { status } = on(model, { action: "unbind", addresses: [DISK] }, refuse);
    expect(status).toMatch(/was not given back: .*EBUSY\nhint: /);
    expect([driver(model, DISK), override(model, DISK)]).toEqual(before);
  });
});

describe("cli bind: JSON", () => {
  it("has every key", () => {
    using model = modelHost("desktop");
    const group = model.topology.get(HOST_DISK).group?.id;
    expect(JSON.parse(on(model, { json: true }).stdout)).toEqual({
      action: "bind",
      driver: "vfio-pci",
      dryRun: false,
      forced: false,
      functions: [
        {
          address: HOST_DISK,
          status: "done",
          driverBefore: "nvme",
          driver: "vfio-pci",
          overrideBefore: null,
          group,
          inUse: [],
          obstacles: [],
          steps: [
            { path: `/sys/bus/pci/devices/${HOST_DISK}/driver_override`, value: "vfio-pci\n" },
            { path: "/sys/bus/pci/drivers/nvme/unbind", value: `${HOST_DISK}\n` },
            { path: "/sys/bus/pci/drivers_probe", value: `${HOST_DISK}\n` },
          ],
        },
      ],
      groups: [{ group, viable: true, blockedBy: [] }],
      notUndone: [],
      error: null,
    });
  });
});
