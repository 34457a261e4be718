// `minivmm doctor`: statuses, remedies and exit statuses on modelled hosts that lack one thing each; text and JSON.

import { PassThrough } from "node:stream";
import type { Host } from "@minivmm/host";
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { doctorOn } from "../src/cmds/doctor.ts";
import type { TerminalInput } from "../src/console/terminal.ts";
import { CHECK_IDS, type CheckId, type CheckResult } from "../src/host/checks/check.ts";
import { examineHost } from "../src/host/checks/index.ts";
import { Capture, cli } from "./helpers.ts";

const MIB = 2 ** 20;
const DISK = "0000:02:00.0";
const HOST_DISK = "0000:01:00.0";

function examine(model: ModelledHost, device: string | null = null, host: Host = model.spawn()) {
  const results = examineHost(host, 512 * MIB, device);
  const of = (id: CheckId) => results.find((each) => each.id === id) as CheckResult;
  return { results, of, failing: results.filter(({ status }) => status === "FAIL").map(({ id }) => id) };
}

const put = (model: ModelledHost, path: string, text: string) => model.kernel.sysfs.file(path, { read: () => text });

describe("cli doctor: ready-made hosts", () => {
  it.each([
    ["desktop", 0, []],
    ["power9", 0, []],
    ["q35", 1, ["memlock"]],
    ["q35,memlock=1G", 0, []],
    ["q35,iommu=none", 1, ["iommu", "memlock", "groups"]],
  ])("on %s ends with %i", async (spec, status, failing) => {
    const { stdout, stderr, ...rest } = await cli(["doctor", "--host", `model:${spec}`]);
    expect({ stderr, ...rest }).toEqual({ stderr: "", status });
    expect([...stdout.matchAll(/^FAIL +(\S+)/gm)].map(([, id]) => id)).toEqual(failing);
    expect(stdout).toMatch(status === 0 ? / is ready(, \d+ warnings?)?\n$/ : / is not ready: \d+ failures?/);
    // One remedy for whatever is no PASS, none for a PASS.
    expect(stdout.match(/^ +-> /gm)?.length ?? 0).toBe(stdout.match(/^(WARN|FAIL) /gm)?.length ?? 0);
    expect(stdout).not.toMatch(/^PASS.*\n +->/m);
  });

  it("asks the same questions of every host, in the same order", () => {
    for (const name of ["desktop", "power9", "q35"]) {
      using model = modelHost(name);
      const { results } = examine(model);
      expect(results.map(({ id }) => id)).toEqual(CHECK_IDS);
      for (const { status, remedy } of results) expect(remedy === null).toBe(status === "PASS");
    }
  });

  it("changes nothing and leaves nothing open", () => {
    using model = modelHost("desktop");
    const drivers = () => model.topology.functions.map((fn) => [fn.driver, fn.driverOverride]);
    const before = drivers();
    const process = model.spawn();
    examine(model, null, process);
    examine(model, DISK, process);
    expect(drivers()).toEqual(before);
    expect(Array.from({ length: 64 }, (_, fd) => process.fileOf(fd)).filter((file) => file !== undefined)).toEqual([]);
  });
});

describe("cli doctor: the IOMMU", () => {
  it("blames the kernel's command line when that turns it off", () => {
    using model = modelHost("q35", { iommu: "none" });
    put(model, "/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 intel_iommu=off quiet\n");
    expect(examine(model).of("kernel-command-line")).toMatchObject({
      status: "FAIL",
      remedy: "take intel_iommu=off away and restart",
      details: { parameters: ["intel_iommu=off"] },
    });
    put(model, "/proc/cmdline", "quiet\n");
    expect(examine(model).of("kernel-command-line")).toMatchObject({
      status: "WARN",
      message: "says nothing of the IOMMU",
    });
    put(model, "/proc/cmdline", "intel_iommu=on,sm_on iommu=pt\n");
    expect(examine(model).of("kernel-command-line").status).toBe("PASS");
    // What the firmware offers, the kernel only has to use.
    expect(examine(model).of("iommu").remedy).toMatch(/^turn it on in the firmware/);
    put(model, "/sys/firmware/acpi/tables/DMAR", "DMAR");
    expect(examine(model).of("iommu").remedy).toMatch(/^the firmware offers one/);
  });

  it("knows pass-through for the host's own devices to be harmless", () => {
    using model = modelHost("desktop");
    put(model, "/proc/cmdline", "intel_iommu=on iommu=pt\n");
    const { status, message } = examine(model).of("kernel-command-line");
    expect({ status, message }).toEqual({
      status: "PASS",
      message: "intel_iommu=on iommu=pt: the host's own devices are not translated, guests' are",
    });
  });

  it("counts groups that stand in for an IOMMU as none", () => {
    using model = modelHost("desktop");
    for (const id of model.spawn().readdir("/sys/kernel/iommu_groups") as string[]) {
      put(model, `/sys/kernel/iommu_groups/${id}/name`, "vfio-noiommu\n");
    }
    expect(examine(model).of("iommu")).toMatchObject({ status: "FAIL", details: { groups: 0, noiommuGroups: 7 } });
  });

  it("sees interrupt remapping in the names of interrupt chips", () => {
    using model = modelHost("desktop");
    expect(examine(model).of("interrupt-remapping")).toMatchObject({ status: "WARN", details: { remapping: null } });
    put(model, "/proc/interrupts", "  24:  0  IR-PCI-MSI-0000:00:1c.0  0-edge  PCIe PME\n");
    expect(examine(model).of("interrupt-remapping").status).toBe("PASS");
    put(model, "/proc/interrupts", "  24:  0  PCI-MSI-0000:00:1c.0  0-edge  PCIe PME\n");
    expect(examine(model).of("interrupt-remapping").status).toBe("FAIL");
    put(model, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
    expect(examine(model).of("interrupt-remapping")).toMatchObject({
      status: "WARN",
      details: { unsafeAllowed: true },
    });
  });
});

describe("cli doctor: VFIO and limits", () => {
  it("misses the container's node, and a driver", () => {
    using model = modelHost("desktop");
    model.kernel.nodes.delete("/dev/vfio/vfio");
    model.kernel.sysfs.remove("/sys/bus/pci/drivers/vfio-pci");
    model.kernel.sysfs.remove("/sys/module/vfio_iommu_type1");
    const { failing, of } = examine(model);
    expect(failing).toEqual(["vfio-container", "vfio-pci"]);
    expect(of("vfio-container").remedy).toBe("load VFIO's modules: modprobe vfio-pci");
    expect(of("vfio-iommu")).toMatchObject({ status: "WARN", remedy: "load it: modprobe vfio_iommu_type1" });
  });

  it("tells a user without rights which nodes to be given", () => {
    using model = modelHost("desktop");
    const { failing, of } = examine(model, null, model.spawn({ root: false }));
    expect(failing).toEqual(["group-nodes"]);
    expect(of("group-nodes").remedy).toBe('chown "$USER" /dev/vfio/3 /dev/vfio/5 /dev/vfio/6');
  });

  it("compares the limit of locked memory with what the VM needs, and says both", () => {
    using model = modelHost("power9");
    // 1 GiB of 4 KiB pages and 512 MiB of 64 KiB pages, 8 bytes an entry, two copies, whole pages.
    const windows = 2 * (2 * MIB + 64 * 1024);
    const at = (memlock: number) => examine(model, null, model.spawn({ memlock })).of("memlock");
    expect(at(512 * MIB + windows)).toMatchObject({
      status: "PASS",
      details: { needed: 512 * MIB + windows, windows },
    });
    const low = at(512 * MIB + windows - 1);
    expect(low.status).toBe("FAIL");
    expect(low.message).toBe("the VM needs 516.1 MiB (memory 512 MiB, windows 4.1 MiB), the limit is 516.1 MiB");
    expect(low.remedy).toContain("528512");
    const process = model.spawn({ memlock: 2 ** 30 });
    process.setrlimit("memlock", { soft: MIB, hard: 2 ** 30 });
    expect(examine(model, null, process).of("memlock").remedy).toBe("raise it in this shell: ulimit -l 528512");
  });

  it("is content with a low limit when the process may exceed it", () => {
    using model = modelHost("q35");
    const process = model.spawn();
    const status = (mask: string) => {
      const host = new Proxy<Host>(process, {
        get(target, key) {
          if (key === "readFile") {
            return (path: string) =>
              path === "/proc/self/status" ? new TextEncoder().encode(`CapEff:\t${mask}\n`) : target.readFile(path);
          }
          const value = Reflect.get(target, key);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      return examine(model, null, host).of("memlock").status;
    };
    expect(status("000001ffffffffff")).toBe("PASS");
    expect(status("000001ffffffbfff")).toBe("FAIL");
  });

  it("-m is the size of the VM", async () => {
    const at = async (size: string) => (await cli(["doctor", "-m", size, "--host", "model:q35,memlock=1G"])).status;
    expect([await at("1G"), await at("1025")]).toEqual([0, 1]);
  });
});

describe("cli doctor: groups and devices", () => {
  it("warns of a group that is to be given away while a host driver holds a member, and names it", () => {
    using model = modelHost("desktop");
    model.faults.takeGroup("0000:04:02.0", "e1000e");
    const { failing, of } = examine(model);
    expect(failing).toEqual([]);
    expect(of("groups")).toMatchObject({
      status: "WARN",
      message: expect.stringContaining("6 by 0000:04:02.0 e1000e"),
      remedy: "give the whole group 6 away: minivmm bind --group 0000:04:01.0",
    });
    model.vfio.unbind("0000:04:02.0");
    model.faults.takeGroup("0000:03:00.0", "shpchp");
    expect(examine(model).of("groups").remedy).toBe(
      "take the driver from the bridge: echo 0000:03:00.0 > /sys/bus/pci/drivers/shpchp/unbind",
    );
    // Of the function itself it is a failure.
    expect(examine(model, "0000:04:01.0").failing).toEqual(["groups"]);
  });

  it("looks at one device: bound, held, a bridge, in use elsewhere", () => {
    using model = modelHost("desktop");
    expect(examine(model, DISK).failing).toEqual([]);
    const held = examine(model, HOST_DISK);
    expect(held.failing).toEqual(["device", "groups"]);
    expect(held.of("device").remedy).toBe(`minivmm bind ${HOST_DISK}`);
    expect(examine(model, "0000:03:00.0").of("device")).toMatchObject({
      status: "FAIL",
      message: "0000:03:00.0 is a bridge",
    });
    const id = model.topology.get(DISK).group?.id ?? -1;
    const group = VfioGroup.open(model.spawn({ comm: "qemu" }), id);
    expect(examine(model, DISK).failing).toEqual(["group-nodes"]);
    expect(examine(model).of("group-nodes")).toMatchObject({
      status: "WARN",
      message: `open elsewhere: /dev/vfio/${id}`,
      remedy: expect.stringMatching(/^process \d+ \(qemu\) has \/dev\/vfio\/\d+ open: end it, or choose another/),
    });
    group.close();
  });

  it("names functions that cannot be reset alone", () => {
    using model = modelHost("desktop");
    expect(examine(model).of("reset")).toMatchObject({
      status: "WARN",
      remedy: "see whether their bus can be reset: minivmm reset plan 0000:00:05.0",
    });
    expect(examine(model, DISK).of("reset")).toMatchObject({
      status: "PASS",
      details: { functions: [{ address: DISK, methods: ["flr", "bus"] }] },
    });
  });

  it("following its remedy makes it content", async () => {
    using model = modelHost("desktop");
    for (const fn of model.topology.functions) if (fn.driver === "vfio-pci") model.vfio.unbind(fn.name);
    const before = examine(model);
    expect(before.of("device")).toMatchObject({ status: "WARN", message: "no function is on vfio-pci" });
    const [, address = ""] = /minivmm bind (\S+)$/.exec(before.of("device").remedy ?? "") ?? [];
    model.vfio.bind(address, "vfio-pci");
    expect(examine(model).of("device")).toMatchObject({ status: "PASS", details: { bound: [address] } });
  });
});

describe("cli doctor: JSON and bad input", () => {
  it("has every key, and the exit status of the text", () => {
    using model = modelHost("q35");
    const stdout = new Capture();
    const io = { stdin: new PassThrough() as TerminalInput, stdout, stderr: new Capture(), env: {} };
    const request = { memoryBytes: 512 * MIB, device: null, host: { kind: "real" }, json: true } as const;
    expect(doctorOn(model.spawn(), "test host", request, io)).toBe(1);
    const { checks, ...rest } = JSON.parse(stdout.text);
    expect(rest).toEqual({
      host: "modelled Linux 6.12 x86_64",
      memory: 512 * MIB,
      device: null,
      ready: false,
      counts: { pass: 9, warn: 2, fail: 1 },
    });
    for (const check of checks) expect(Object.keys(check)).toEqual(["id", "status", "message", "remedy", "details"]);
    expect(checks.find(({ id }: CheckResult) => id === "memlock").details).toEqual({
      needed: 512 * MIB,
      guestMemory: 512 * MIB,
      windows: 0,
      soft: 8 * MIB,
      hard: 8 * MIB,
      exempt: false,
    });
  });

  it.each<[string, string[], number, RegExp]>([
    [
      "what is no address",
      ["doctor", "-device", "eth0"],
      2,
      /^minivmm: doctor: -device: eth0 is not a PCI address\nhint: /,
    ],
    ["what is no size", ["doctor", "-m", "lots"], 2, /^minivmm: -m.*lots.*\nhint: /],
    [
      "a device that is not there",
      ["doctor", "-device", "9:0.0", "-host", "model:desktop"],
      1,
      /no PCI device .*\nhint: /,
    ],
  ])("says one clear thing about %s", async (_what, argv, status, message) => {
    const outcome = await cli(argv);
    expect(outcome.stderr).toMatch(message);
    expect(outcome).toMatchObject({ status, stdout: "" });
  });
});
